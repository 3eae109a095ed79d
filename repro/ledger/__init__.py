"""What happened: append, fold, store, verify, query. The only package that knows DuckDB.

segment      an execution's append-only, hash-chained file, and its writer
store        artifacts, named by the digest of their bytes
history      what the segments say, read without a database
fold         segments to tables; `rebuild` makes them anew
database     SQL over those tables, reading only
named        queries that have a name
verification names the first broken link of everything
heads        one digest over all seals, and the statement that it is the digest of
against      holds the ledger to heads that were taken earlier
signing      signed statements
show         a run and its executions as plain data
gc           removes artifacts that nothing rests on, and leaves tombstones
retention    which artifacts must stay, and why
accounts     what every execution says of artifacts
provenance   which code, on which machine, in which environment
privacy      keeps secrets and home folders out of all of this

A name is loaded when it is first used: a command pays for what it needs, and DuckDB is loaded by
the first question in SQL.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro.ledger.database import Table, export_parquet, query
    from repro.ledger.findings import Finding
    from repro.ledger.fold import Folded, rebuild
    from repro.ledger.heads import Taken, head, take_head
    from repro.ledger.named import named_query
    from repro.ledger.show import describe
    from repro.ledger.verification import Verified, examine, verify

_HOMES = {
    "database": ("Table", "export_parquet", "query"),
    "findings": ("Finding",),
    "fold": ("Folded", "rebuild"),
    "heads": ("Taken", "head", "take_head"),
    "named": ("named_query",),
    "show": ("describe",),
    "verification": ("Verified", "examine", "verify"),
}

__all__ = [
    "Finding",
    "Folded",
    "Table",
    "Taken",
    "Verified",
    "describe",
    "examine",
    "export_parquet",
    "head",
    "named_query",
    "query",
    "rebuild",
    "take_head",
    "verify",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
