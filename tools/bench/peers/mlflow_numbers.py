"""What MLflow needs for the figures of bench_ledger.py; run with a Python that has it.

    PYTHON mlflow_numbers.py calls|batches|fill|top FOLDER NUMBER

`fill` makes ten runs through MLflow's own interface and copies their rows to as many as are asked
for. Prints one JSON object; times are seconds of processor and of wall clock.
"""

import json
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param

NUM_TEMPLATES, NUM_STEPS = 10, 50


def main() -> None:
    action, folder, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    print(json.dumps({"version": mlflow.__version__, **ACTIONS[action](folder, number)}))


def calls(_: Path, number: int) -> dict[str, Any]:
    """One number a call, in a loop."""
    with mlflow.start_run():
        return timed(lambda: [mlflow.log_metric("loss", 1 / (i + 1), i) for i in range(number)])


def batches(_: Path, number: int) -> dict[str, Any]:
    """A thousand numbers a call, the most that it takes."""
    client = mlflow.MlflowClient()
    run = client.create_run(client.create_experiment("batches")).info.run_id

    def log() -> None:
        for first in range(0, number, 1000):
            metrics = [Metric("loss", 1 / (i + 1), 0, i) for i in range(first, first + 1000)]
            client.log_batch(run, metrics=metrics)

    return timed(log)


def fill(folder: Path, number: int) -> dict[str, Any]:
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("top")
    for run in range(NUM_TEMPLATES):
        metrics = [
            Metric(name, 10 + (run * 37 + step * 11 + place) % 100 / 7, 0, step)
            for step in range(NUM_STEPS)
            for place, name in enumerate(("fid", "kid", "isc"))
        ]
        created = client.create_run(experiment).info.run_id
        client.log_batch(created, metrics=metrics, params=[Param("protocol", f"p{run % 2}")])
        client.set_terminated(created)
    with sqlite3.connect(folder / "mlflow.db") as database:
        templates = [row[0] for row in database.execute("SELECT run_uuid FROM runs")]
        for copy in range(number - NUM_TEMPLATES):
            values = {"id": uuid.uuid4().hex, "shift": copy % 997 / 1000}
            values["from"] = templates[copy % NUM_TEMPLATES]
            for table in ("runs", "metrics", "latest_metrics", "params", "tags"):
                database.execute(_copy(database, table), values)
    return {}


@cache
def _copy(database: sqlite3.Connection, table: str) -> str:
    """A statement that copies the rows of a run, its numbers shifted."""
    picked = {"run_uuid": ":id"}
    if "metrics" in table:
        picked["value"] = "value + :shift"
    names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    selected = ", ".join(picked.get(name, name) for name in names)
    return f"INSERT INTO {table} SELECT {selected} FROM {table} WHERE run_uuid = :from"


def top(_: Path, repeats: int) -> dict[str, Any]:
    """Ten best runs by the last value; it cannot order by the smallest."""

    def ask() -> None:
        experiment = mlflow.get_experiment_by_name("top").experiment_id
        found = mlflow.search_runs(
            [experiment],
            filter_string="params.protocol = 'p1'",
            order_by=["metrics.fid ASC"],
            max_results=10,
            output_format="list",
        )
        assert len(found) == 10

    return {"first": timed(ask), "next": [timed(ask) for _ in range(repeats)]}


def timed(action: Callable[[], Any]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}


ACTIONS = {"calls": calls, "batches": batches, "fill": fill, "top": top}

if __name__ == "__main__":
    main()
