"""Named queries: files in `queries/` of a ledger, their first line a comment that says what for."""

import re
from pathlib import Path

from attrs import frozen

from repro.errors import QueryError

_PARAMETER = re.compile(r"\$([a-z_]+)")


@frozen(kw_only=True)
class NamedQuery:
    """A statement with a name; `parameters` are the `$names` that must be given."""

    name: str
    description: str
    sql: str
    parameters: tuple[str, ...]


def named_queries(root: Path) -> dict[str, NamedQuery]:
    """Every named query of a ledger, by name.

    Raises:
        QueryError: a file does not begin with a comment.
    """
    found = (_read(path) for path in sorted((root / "queries").glob("*.sql")))
    return {each.name: each for each in found}


def named_query(root: Path, text: str) -> str:
    """The statement that a name stands for; any other text is a statement itself.

    Raises:
        QueryError: one word that is no query's name.
    """
    found = named_queries(root).get(text)
    if found is None and re.fullmatch(r"[\w-]+", text):
        names = ", ".join(named_queries(root)) or "none"
        raise QueryError(
            f"sql: no query is named {text!r}, expected a statement or one of: {names}"
        )
    return text if found is None else found.sql


def _read(path: Path) -> NamedQuery:
    sql = path.read_text(encoding="utf-8")
    header, _, body = sql.partition("\n")
    if not header.startswith("-- "):
        raise QueryError(f"{path}: line 1: expected `-- ` and what the query is for")
    parameters = tuple(dict.fromkeys(_PARAMETER.findall(body)))
    return NamedQuery(
        name=path.stem, description=header[3:].strip(), sql=sql, parameters=parameters
    )
