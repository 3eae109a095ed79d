"""Named queries: files in `queries/`, their first line a comment that says what for.

A ledger's own come first, then those in `ledger/queries` of the working folder, then those that
come with the package.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from repro.errors import QueryError

PROJECT = Path("ledger")


def named_query(root: Path, text: str) -> str:
    """The statement that a name stands for; any text but one word is a statement itself.

    Raises:
        QueryError: the word is no query's name, or its file cannot be read or has no header.
    """
    if not re.fullmatch(r"[\w-]+", text):
        return text
    paths = _paths(root)
    if text in paths:
        return _read(paths[text])
    raise QueryError(
        f"sql: no query is named {text!r}, expected a statement or one of {len(paths)} names",
        *(f"  {name}: {_description(path)}" for name, path in paths.items()),
    )


def _paths(root: Path) -> Mapping[str, Path]:
    """The file of every named query, by name."""
    folders = (_shipped(), PROJECT, root)
    found = {path.stem: path for folder in folders for path in _files(folder)}
    return dict(sorted(found.items()))


def _shipped() -> Path:
    """Where the package has its queries: a wheel beside this file, a checkout in `ledger/`."""
    package = Path(__file__).parent
    return package if (package / "queries").is_dir() else package.parents[1] / "ledger"


def _files(root: Path) -> Iterator[Path]:
    return (root / "queries").glob("*.sql")


def _read(path: Path) -> str:
    """A query's statement, its header first.

    Raises:
        QueryError: the file cannot be read, or does not say what it is for.
    """
    try:
        sql = path.read_text(encoding="utf-8")
    except OSError as error:
        raise QueryError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise QueryError(f"{path}: expected UTF-8, found a byte that is none: {error}") from error
    if not sql.startswith("-- "):
        raise QueryError(f"{path}: line 1: expected `-- ` and what the query is for")
    return sql


def _description(path: Path) -> str:
    try:
        return _read(path).partition("\n")[0].removeprefix("-- ").strip()
    except QueryError as error:
        return f"cannot be used: {error}"
