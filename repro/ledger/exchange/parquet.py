"""Every table and view of the ledger as a Parquet file, all of one moment."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from repro.errors import LedgerError
from repro.ledger.connection import connect, published_path
from repro.ledger.database import query

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_RELATIONS = """
SELECT table_name FROM information_schema.tables
WHERE table_catalog = 'ledger' ORDER BY table_name
"""


def export_tables(root: Path, folder: Path) -> tuple[Mapping[str, int], tuple[str, ...]]:
    """Write a new folder with `<table>.parquet` each, whole or not at all.

    Returns how many rows each has, and warnings: what the database lacks just now.

    Raises:
        LedgerError: there is no ledger, the folder is there already, or cannot be written.
    """
    import duckdb

    if folder.exists():
        raise LedgerError(f"{folder}: is there already; name a new folder")
    relations = query(root, _RELATIONS)  # and so the published database is up to date
    part = folder.absolute().with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        counts = _copies(root, part, [str(name) for (name,) in relations.rows])
        part.rename(folder)
    except (duckdb.Error, OSError) as error:
        raise LedgerError(f"{folder}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return counts, relations.warnings


def _copies(root: Path, folder: Path, names: list[str]) -> dict[str, int]:
    """One connection reads one version of the database, whatever is published meanwhile."""
    connection = connect(published_path(root), read_only=True, writable=folder)
    try:
        return {name: _copy(connection, name, folder) for name in names}
    finally:
        connection.close()


def _copy(connection: "DuckDBPyConnection", name: str, folder: Path) -> int:
    target = str(folder / f"{name}.parquet").replace("'", "''")
    row = connection.execute(f"COPY \"{name}\" TO '{target}' (FORMAT parquet)").fetchone()
    return int(row[0]) if row else 0
