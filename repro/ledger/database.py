"""The read-only face of the ledger: SQL over the published database, folded first."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from repro.errors import LedgerError, QueryError
from repro.ledger import fold, schema
from repro.ledger.connection import connect, published_path

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

READER_WAIT_S = 1.0
_CHUNK_BYTES = 1 << 16

_PLAIN_TYPES = {"VARCHAR", "JSON", "BIGINT", "DOUBLE", "BOOLEAN"}
"""Their values are plain data as they come."""

Parameters = Sequence[Any] | Mapping[str, Any]


@frozen(kw_only=True)
class Table:
    """An answer. Rows hold plain data; times are text in UTC, and exact decimals are text.

    `types` are DuckDB's names of the columns' types. `warnings` says what the answer lacks: what
    broken segments hold, records that another process is folding just now.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    warnings: tuple[str, ...] = ()


def query(root: Path, sql: str, parameters: Parameters = ()) -> Table:
    """The answer to one statement that reads: SELECT, WITH, FROM, DESCRIBE, SHOW, EXPLAIN.

    Parameters are bound to `?` or `$1` by place, or to `$name` by name.

    Raises:
        QueryError: the statement does anything else, reaches for a file, or fails.
        LedgerError: there is no ledger, or it cannot be read.
    """
    (table,) = query_all(root, {sql: parameters})
    return table


def query_all(root: Path, statements: Mapping[str, Parameters]) -> tuple[Table, ...]:
    """The answers to several statements with their parameters, of one moment of the ledger.

    Raises:
        QueryError, LedgerError: as `query`.
    """
    import duckdb

    connection, warnings = _open(root)
    try:
        return tuple(
            _answer(connection, sql, parameters, warnings) for sql, parameters in statements.items()
        )
    except duckdb.Error as error:
        raise QueryError(f"sql: {error}") from error
    finally:
        connection.close()


def export_parquet(root: Path, sql: str, path: Path, parameters: Parameters = ()) -> int:
    """Write an answer to a Parquet file, whole or not at all; returns its number of rows.

    Raises:
        QueryError: as `query`, or the file cannot be written.
    """
    import duckdb

    part = path.absolute().with_name(f".{path.name}.part")
    connection, _ = _open(root, writable=part)
    try:
        _require_reading(connection, sql)
        target = str(part).replace("'", "''")
        copy = f"COPY (\n{sql.strip().rstrip(';')}\n) TO '{target}' (FORMAT parquet)"
        row = connection.execute(copy, parameters).fetchone()
        part.replace(path)
    except (duckdb.Error, OSError) as error:
        raise QueryError(f"sql: {error}") from error
    finally:
        connection.close()
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return int(row[0]) if row else 0


def _answer(
    connection: "DuckDBPyConnection", sql: str, parameters: Parameters, warnings: tuple[str, ...]
) -> Table:
    _require_reading(connection, sql)
    cursor = connection.execute(sql, parameters)
    columns = tuple(str(each[0]) for each in cursor.description)
    types = tuple(str(each[1]) for each in cursor.description)
    _require_distinct(columns)
    _require_printable(columns, types)
    rows = cursor.fetchall()
    if not _PLAIN_TYPES.issuperset(types):
        rows = [tuple(_plain(item) for item in row) for row in rows]
    return Table(columns=columns, types=types, rows=tuple(rows), warnings=warnings)


def _open(root: Path, writable: Path | None = None) -> tuple["DuckDBPyConnection", tuple[str, ...]]:
    """The published database, brought up to the segments if that can be done in about a second.

    Where there is none, and none can be written, its tables in memory.

    Raises:
        LedgerError: there is no ledger here, or a newer version has folded it.
    """
    connection = _open_published(root, writable)
    if connection is not None and _covers(connection, root):
        return connection, ()
    readable = connection is not None
    if connection is not None:
        connection.close()
    elif not os.access(root, os.W_OK):
        connection, folded = fold.fold_into_memory(root, writable=writable)
        return connection, folded.problems
    warnings = _catch_up(root, readable=readable)
    connection = _open_published(root, writable)
    if connection is None:
        connection, folded = fold.fold_into_memory(root, writable=writable)
        warnings = (*warnings, *(each for each in folded.problems if each not in warnings))
    return connection, warnings


def _open_published(root: Path, writable: Path | None) -> "DuckDBPyConnection | None":
    """None if it is not there, damaged, of an older schema, or locked by a stranger."""
    import duckdb

    path = published_path(root)
    if not path.is_file():
        return None
    try:
        connection = connect(path, read_only=True, writable=writable)
    except duckdb.Error:
        return None
    try:
        if fold.version_of(connection, path) == schema.VERSION:
            return connection
    except (LedgerError, duckdb.Error) as error:
        connection.close()
        if isinstance(error, LedgerError):
            raise
        return None
    connection.close()
    return None


def _covers(connection: "DuckDBPyConnection", root: Path) -> bool:
    """Whether the database has every segment, and of those that can grow all that they hold.

    A sealed segment is not looked at again: to find it changed is the work of `verify`.
    """
    row = connection.execute(
        "SELECT coalesce(string_agg(execution_id, chr(10) ORDER BY execution_id), ''),"
        " list(execution_id) FILTER (NOT sealed), list(size_bytes) FILTER (NOT sealed)"
        " FROM segments"
    ).fetchone()
    known, growing, sizes = row or ("", None, None)
    folder = root / "segments"
    try:
        with os.scandir(folder) as files:
            names = [each.name[:-6] for each in files if each.name.endswith(".jsonl")]
        unread = dict(zip(growing or [], sizes or [], strict=True))
        if "\n".join(sorted(names)) != known:
            listed = set(known.split("\n")) if known else set()
            if not listed.issubset(names):
                return False
            unread |= dict.fromkeys(set(names) - listed, 0)
        if any(_differs(folder / f"{name}.jsonl", size) for name, size in unread.items()):
            return False
    except OSError:
        return False
    return fold.up_to_date(root)


def _differs(path: Path, size_bytes: int) -> bool:
    """Whether a segment holds a whole record after its first bytes, or has lost some of those.

    A torn last line, and an empty file, are what killed writers leave for ever.
    """
    found = path.stat().st_size
    if found <= size_bytes:
        return found < size_bytes
    with path.open("rb") as file:
        file.seek(size_bytes)
        return any(b"\n" in chunk for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""))


def _catch_up(root: Path, *, readable: bool) -> tuple[str, ...]:
    try:
        if not readable:
            published_path(root).unlink(missing_ok=True)  # so that the fold publishes another
        folded = fold.fold(root, wait_s=READER_WAIT_S if readable else fold.WAIT_S)
    except (LedgerError, OSError) as error:
        if isinstance(error, fold.NewerSchemaError) and not readable:
            raise
        lacks = "not brought up to date" if readable else "answered from the segments alone"
        return (f"{lacks}: {error}",)
    if folded is None:
        if not readable:
            return ()
        return (f"{root}: another process is folding; the newest records are not in this answer",)
    return folded.problems


def _require_reading(connection: "DuckDBPyConnection", sql: str) -> None:
    import duckdb

    statements = connection.extract_statements(sql)
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    if len(statements) != 1 or statements[0].type not in reading:
        found = ", ".join(str(each.type).rpartition(".")[2] for each in statements) or "nothing"
        raise QueryError(
            f"sql: expected one SELECT, WITH, FROM, DESCRIBE, SHOW or EXPLAIN, found {found};"
            " the ledger is only appended to, by runs"
        )


def _require_distinct(columns: Sequence[str]) -> None:
    twice = sorted({each for each in columns if columns.count(each) > 1})
    if twice:
        raise QueryError(
            f"sql: more than one column is named {', '.join(map(repr, twice))}; name one with AS"
        )


def _require_printable(columns: Sequence[str], types: Sequence[str]) -> None:
    for column, type_ in zip(columns, types, strict=True):
        if type_ == "TIMESTAMP WITH TIME ZONE":
            raise QueryError(f"sql: column {column!r} has a time zone; write {column}::TIMESTAMP")


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return f"{value.isoformat()}Z"
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return str(value)
