"""MLflow's SQLite database: every run of every experiment, deleted ones too.

A deleted run was tried as well, so it is told, with its lifecycle among its facts. MLflow keeps
every value that was logged for a step, and shows the last one; all of them are told.
"""

import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from repro.errors import ResourceError
from repro.ledger.exchange import sqlite_file
from repro.ledger.exchange.told import Curve, Notify, Run

_WHAT = "the SQLite database of an MLflow tracking store"
_EXPECTED = {
    "experiments": {"experiment_id": "integer", "name": "text"},
    "runs": {
        "run_uuid": "text",
        "name": "text null",
        "status": "text null",
        "start_time": "integer null",
        "end_time": "integer null",
        "lifecycle_stage": "text null",
        "experiment_id": "integer null",
    },
    "metrics": {
        "run_uuid": "text",
        "key": "text",
        "step": "integer",
        "timestamp": "integer",
        "value": "real integer",
        "is_nan": "integer",
    },
    "params": {"run_uuid": "text", "key": "text", "value": "text null"},
    "tags": {"run_uuid": "text", "key": "text", "value": "text null"},
}
_OWN_TAGS = ("mlflow.source.git.commit", "mlflow.note.content", "mlflow.parentRunId")

_RUNS = """
SELECT run_uuid, experiments.name, runs.name, status, runs.lifecycle_stage, start_time, end_time
FROM runs JOIN experiments USING (experiment_id)
ORDER BY start_time, run_uuid
"""
_POINTS = """
SELECT key, step, value, is_nan FROM metrics
WHERE run_uuid = ? ORDER BY key, step, timestamp, value
"""


def read(path: Path, notify: Notify) -> Iterator[Run]:
    """Every run, oldest first.

    Raises:
        ResourceError: it is no such database, or damaged.
    """
    del notify
    if path.is_dir():
        raise ResourceError(
            f"{path}: a folder; expected {_WHAT}: `mlflow migrate-filestore` makes one of a folder"
        )
    with sqlite_file.opened(path, what=_WHAT, expected=_EXPECTED) as database:
        names: set[str] = set()
        for uuid, experiment, name, *facts in database.execute(_RUNS).fetchall():
            told = f"{experiment}/{name or uuid}"
            told = f"{told} ({uuid[:8]})" if told in names else told
            names.add(told)
            yield Run(
                name=told,
                curves=_curves(database, uuid),
                facts=_facts(database, uuid, experiment, facts),
            )


def _curves(database: sqlite3.Connection, uuid: str) -> tuple[Curve, ...]:
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for key, step, value, is_nan in database.execute(_POINTS, [uuid]):
        points[key].append((step, float("nan") if is_nan else _value(value)))
    return tuple(
        Curve(
            metric=key,
            steps=tuple(step for step, _ in found),
            values=tuple(value for _, value in found),
        )
        for key, found in points.items()
    )


def _value(value: float) -> float:
    """A number as it was logged: the store keeps infinities as the largest finite ones."""
    return value * 2 if abs(value) == sys.float_info.max else float(value)


def _facts(
    database: sqlite3.Connection, uuid: str, experiment: str, columns: list[Any]
) -> dict[str, Any]:
    status, lifecycle, started, ended = columns
    tags = _pairs(database, "tags", uuid)
    return {
        "run_uuid": uuid,
        "experiment": experiment,
        "status": status,
        "lifecycle": lifecycle,
        "started_at": _time(started),
        "ended_at": _time(ended),
        "params": _pairs(database, "params", uuid),
        "tags": {
            key: value
            for key, value in tags.items()
            if key in _OWN_TAGS or not key.startswith("mlflow.")
        },
    }


def _pairs(database: sqlite3.Connection, table: str, uuid: str) -> dict[str, Any]:
    found = database.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ?", [uuid])
    return dict(found.fetchall())


def _time(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    try:
        time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a year of five digits
        return f"{milliseconds} ms since 1970"
    return time.isoformat(timespec="milliseconds")
