"""What trackio needs for the figures of bench_ledger.py; run with a Python that has it.

    PYTHON trackio_numbers.py calls|batches|fill|top FOLDER NUMBER

`fill` makes ten runs through trackio's own interface and copies their rows to as many as are asked
for. Prints one JSON object; times are seconds of processor and of wall clock.
"""

import contextlib
import io
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[2])
os.environ |= {"TRACKIO_DIR": str(FOLDER), "HF_HUB_OFFLINE": "1"}

import trackio  # noqa: E402
from trackio.sqlite_storage import SQLiteStorage  # noqa: E402

NUM_TEMPLATES, NUM_STEPS = 10, 50
TOP = """
SELECT c.run_name, min(json_extract(m.metrics, '$.fid')) AS fid
FROM metrics AS m JOIN configs AS c USING (run_id)
WHERE json_extract(c.config, '$.protocol') = 'p1'
GROUP BY 1 ORDER BY fid LIMIT 10
"""


def main() -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # it greets
        answer = ACTIONS[sys.argv[1]](int(sys.argv[3]))
    print(json.dumps({"version": trackio.__version__, **answer}))


def calls(number: int) -> dict[str, Any]:
    """One number a call, in a loop, until all are stored."""
    trackio.init(project="calls", name="run")

    def log() -> None:
        for step in range(number):
            trackio.log({"loss": 1 / (step + 1)}, step=step)
        trackio.finish()

    return timed(log)


def fill(number: int) -> dict[str, Any]:
    for run in range(NUM_TEMPLATES):
        trackio.init(project="top", name=f"run-{run}", config={"protocol": f"p{run % 2}"})
        for step in range(NUM_STEPS):
            names = enumerate(("fid", "kid", "isc"))
            value = 10 + (run * 37 + step * 11) % 100 / 7
            trackio.log({name: value + place / 10 for place, name in names}, step=step)
        trackio.finish()
    path = SQLiteStorage.get_project_db_path("top")
    with sqlite3.connect(path) as database:
        templates = [row[0] for row in database.execute("SELECT run_id FROM configs")]
        for copy in range(number - NUM_TEMPLATES):
            shift = copy % 997 / 1000
            values = {"id": f"c{copy}", "name": f"copy-{copy}", "shift": shift}
            values["from"] = templates[copy % NUM_TEMPLATES]
            database.execute(
                "INSERT INTO configs (run_id, run_name, config, created_at)"
                " SELECT :id, :name, config, created_at FROM configs WHERE run_id = :from",
                values,
            )
            database.execute(
                "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics)"
                " SELECT :id, timestamp, :name, step, json_set(metrics, '$.fid',"
                " json_extract(metrics, '$.fid') + :shift) FROM metrics WHERE run_id = :from",
                values,
            )
    return {}


def top(repeats: int) -> dict[str, Any]:
    """Ten best runs by the smallest value, through its own function for SQL."""

    def ask() -> None:
        found = SQLiteStorage.query_project("top", TOP)
        assert len(found["rows"]) == 10

    return {"first": timed(ask), "next": [timed(ask) for _ in range(repeats)]}


def timed(action: Callable[[], Any]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}


ACTIONS = {"calls": calls, "fill": fill, "top": top}

if __name__ == "__main__":
    main()
