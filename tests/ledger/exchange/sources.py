"""What other programs left, as their own releases wrote it: in `tests/data/exchange`."""

import sqlite3
from contextlib import closing
from pathlib import Path

from repro.ledger.exchange.told import Run

DATA = Path(__file__).parents[2] / "data" / "exchange"
EVENTS = DATA / "tensorboard-2.21.0"


def mlflow_database(folder: Path) -> Path:
    """The database of an experiment with three runs; one was deleted, one was edited."""
    return database(folder / "mlflow.db", (DATA / "mlflow-3.17.2.sql").read_text(encoding="utf-8"))


def trackio_database(folder: Path) -> Path:
    """The database of a project with two runs."""
    return database(folder / "p.db", (DATA / "trackio-0.43.0.sql").read_text(encoding="utf-8"))


def database(path: Path, sql: str) -> Path:
    """A SQLite file with these statements in it; one that is there gets them added."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)
    return path


def numbers(run: Run) -> dict[str, list[tuple[int | None, str]]]:
    """The numbers of a run by metric, as texts, because NaN equals nothing."""
    return {
        curve.metric: [
            (step, f"{value:g}") for step, value in zip(curve.steps, curve.values, strict=True)
        ]
        for curve in run.curves
    }


def ignore(text: str) -> None:
    """Hear a notice and do nothing."""
    del text
