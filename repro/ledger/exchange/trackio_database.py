"""trackio's SQLite databases: one a project, named after it."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repro.errors import ResourceError
from repro.ledger.exchange import sqlite_file
from repro.ledger.exchange.told import Curve, Notify, Run, flat, number

FILES = "*.db"
"""Of a folder of projects."""

_WHAT = "the SQLite database of a trackio project"
_EXPECTED = {
    "metrics": {"id": "integer", "run_name": "text", "step": "integer", "metrics": "text blob"},
    "configs": {"run_name": "text", "config": "text blob"},
}


def read(path: Path, notify: Notify) -> Iterator[Run]:
    """Every run of a project's database, or of every project of a folder, oldest first.

    Raises:
        ResourceError: there is no such database, or it is damaged.
    """
    del notify
    projects = sorted(path.glob(FILES)) if path.is_dir() else [path]
    if not projects:
        raise ResourceError(f"{path}: holds no {FILES}; expected trackio's folder, or {_WHAT}")
    for project in projects:
        with sqlite_file.opened(project, what=_WHAT, expected=_EXPECTED) as database:
            yield from _runs(database, project)


def _runs(database: sqlite3.Connection, project: Path) -> Iterator[Run]:
    """Before version 0.24 a run was known by its name alone; since then, by an id."""
    identity = "run_id" if sqlite_file.has_column(database, "metrics", "run_id") else "run_name"
    rows = database.execute(
        f"SELECT {identity}, run_name FROM metrics GROUP BY 1, 2 ORDER BY min(id)"
    )
    names: set[str] = set()
    for id_, run_name in rows.fetchall():
        told = f"{project.stem}/{run_name}"
        told = f"{told} ({str(id_)[:8]})" if told in names else told
        names.add(told)
        yield Run(
            name=told,
            curves=_curves(database, project, identity, id_),
            facts={"project": project.stem, "config": _config(database, project, identity, id_)},
        )


def _curves(
    database: sqlite3.Connection, project: Path, identity: str, id_: str
) -> tuple[Curve, ...]:
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    rows = database.execute(
        f"SELECT step, metrics FROM metrics WHERE {identity} = ? ORDER BY id",
        [id_],
    )
    for step, text in rows:
        told = _decoded(text, project)
        plain = {name: item for name, item in told.items() if not _is_media(item)}
        for name, item in flat(plain):
            value = number(item)
            if value is not None:
                points[name].append((step, value))
    return tuple(
        Curve(
            metric=name,
            steps=tuple(step for step, _ in found),
            values=tuple(value for _, value in found),
        )
        for name, found in points.items()
    )


def _is_media(item: Any) -> bool:
    """Whether it stands for an image, a table or a histogram, whose sizes are no metrics."""
    return isinstance(item, dict) and "_type" in item


def _config(database: sqlite3.Connection, project: Path, identity: str, id_: str) -> dict[str, Any]:
    """What the run was given; names with an underscore in front are trackio's own."""
    row = database.execute(
        f"SELECT config FROM configs WHERE {identity} = ? ORDER BY id DESC",
        [id_],
    ).fetchone()
    config = _decoded(row[0], project) if row else {}
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _decoded(text: Any, project: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, TypeError) as error:
        raise ResourceError(f"{project}: holds a row that is no JSON: {error}") from error
    except RecursionError as error:
        raise ResourceError(f"{project}: holds a row that is nested too deeply") from error
    if not isinstance(found, dict):
        raise ResourceError(f"{project}: holds a row that is no JSON object: {text!r:.80}")
    return found
