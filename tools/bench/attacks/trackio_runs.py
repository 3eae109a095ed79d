"""Two finished runs in trackio: made, read again, and added to, as its own commands do.

Runs with the Python of an environment that has trackio: `python trackio_runs.py make|read FOLDER`,
or `add FOLDER RUN`. `read` prints everything that it is told as JSON; an error of trackio's is an
error of this script.
"""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT, READER = "study", "reader"  # an artifact is only read by a run


def make(folder: Path) -> None:
    """Two runs with a config, six points of a metric and an artifact each, finished."""
    import trackio

    for name in ("one", "two"):
        trackio.init(project=PROJECT, name=name, config={"spec": f"title {name}"})
        for step in range(1, 7):
            trackio.log({"fid": 18.5 - step}, step=step)
        weights = folder / "weights.bin"
        weights.write_text(name, encoding="utf-8")
        artifact = trackio.Artifact(name=f"weights-{name}", type="model")
        artifact.add_file(str(weights), name="weights.bin")
        trackio.log_artifact(artifact)
        trackio.finish()


def read(_: Path) -> dict[str, Any]:
    """Runs, configs, points, times and artifacts."""
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    found = {}
    for name in sorted(set(SQLiteStorage.get_runs(PROJECT)) - {READER}):
        found[name] = {
            "config": SQLiteStorage.get_run_config(PROJECT, name),
            "points": SQLiteStorage.get_logs(PROJECT, name),
        }
    trackio.init(project=PROJECT, name=READER)
    for name, told in found.items():
        with tempfile.TemporaryDirectory() as target:
            place = trackio.use_artifact(f"weights-{name}").download(target)
            told["weights"] = (Path(place) / "weights.bin").read_text(encoding="utf-8")
    trackio.finish()
    return found


def add(_: Path, name: str) -> None:
    """A better number for a run that is finished."""
    import trackio

    trackio.init(project=PROJECT, name=name, resume="must")
    trackio.log({"fid": 0.125}, step=7)
    trackio.finish()


if __name__ == "__main__":
    root = Path(sys.argv[2]).resolve()
    os.environ |= {"TRACKIO_DIR": str(root), "HF_HUB_OFFLINE": "1"}
    verbs: dict[str, Callable[..., Any]] = {"make": make, "read": read, "add": add}
    with contextlib.redirect_stdout(sys.stderr):
        answer = verbs[sys.argv[1]](root, *sys.argv[3:])
    print(json.dumps(answer))
