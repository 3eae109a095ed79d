"""Somebody else's SQLite file, opened without touching it, its tables checked first."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from repro.errors import ResourceError


@contextmanager
def opened(
    path: Path, *, what: str, expected: Mapping[str, Sequence[str]]
) -> Iterator[sqlite3.Connection]:
    """A read-only connection with one consistent view; `expected` names columns by table.

    Raises:
        ResourceError: it is not there, no such database, or damaged.
    """
    if not path.is_file():
        raise ResourceError(f"{path}: no such file; expected {what}")
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            connection.execute("BEGIN")
            _require(connection, path, what=what, expected=expected)
            yield connection
    except sqlite3.Error as error:
        raise ResourceError(
            f"{path}: cannot be read as {what}: {error}; close the program that writes it,"
            " or import a copy"
        ) from error


def has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    """Whether a table has a column."""
    return column in _columns(connection, table)


def _require(
    connection: sqlite3.Connection, path: Path, *, what: str, expected: Mapping[str, Sequence[str]]
) -> None:
    missing = [
        f"{table}.{column}"
        for table, columns in expected.items()
        for column in sorted(set(columns) - _columns(connection, table))
    ]
    if missing:
        raise ResourceError(f"{path}: not {what}: it lacks {', '.join(missing)}")


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", [table])
    return {str(name) for (name,) in rows}
