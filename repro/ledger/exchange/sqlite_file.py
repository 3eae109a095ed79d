"""Somebody else's SQLite file, opened without touching it, its tables checked first."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from repro.errors import ResourceError

Tables = Mapping[str, Mapping[str, str]]
"""Columns by table, each with the types that its values may have, such as `text null`."""


@contextmanager
def opened(path: Path, *, what: str, expected: Tables) -> Iterator[sqlite3.Connection]:
    """A read-only connection with one consistent view of the tables that are expected.

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


def _require(connection: sqlite3.Connection, path: Path, *, what: str, expected: Tables) -> None:
    """Refuse other tables; a column of SQLite holds values of any type, so these are held too."""
    missing = [
        f"{table}.{column}"
        for table, columns in expected.items()
        for column in sorted(set(columns) - _columns(connection, table))
    ]
    if missing:
        raise ResourceError(f"{path}: not {what}: it lacks {', '.join(missing)}")
    for table, columns in expected.items():
        for column, types in columns.items():
            others = connection.execute(
                f"SELECT typeof({column}) FROM {table}"
                f" WHERE instr('{types}', typeof({column})) = 0 LIMIT 1"
            )
            for (found,) in others:
                expected_types = " or ".join(types.split())
                raise ResourceError(
                    f"{path}: not {what}: {table}.{column} holds a value of type {found},"
                    f" expected {expected_types}"
                )


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", [table])
    return {str(name) for (name,) in rows}
