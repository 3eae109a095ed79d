"""Two finished runs in MLflow: made, read again, and added to, by its documented interface.

Runs with the Python of an environment that has MLflow: `python mlflow_runs.py make|read FOLDER`, or
`add FOLDER RUN`. `read` prints everything that it is told as JSON; an error of MLflow's is an error
of this script.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow


def make(folder: Path, client: mlflow.MlflowClient) -> None:
    """Two runs with a parameter, six points of a metric and an artifact each, finished."""
    artifacts = (folder / "artifacts").as_uri()
    experiment_id = client.create_experiment("study", artifact_location=artifacts)
    for name in ("one", "two"):
        run_id = client.create_run(experiment_id, run_name=name).info.run_id
        client.log_param(run_id, "spec", f"title {name}")
        for step in range(1, 7):
            client.log_metric(run_id, "fid", 18.5 - step, step=step)
        weights = folder / "weights.bin"
        weights.write_text(name, encoding="utf-8")
        client.log_artifact(run_id, str(weights))
        client.set_terminated(run_id)


def read(folder: Path, client: mlflow.MlflowClient) -> dict[str, Any]:
    """Runs, parameters, latest values, histories, times and artifacts."""
    experiment = client.get_experiment_by_name("study")
    found = {}
    for run in client.search_runs([experiment.experiment_id], order_by=["attributes.run_name"]):
        run_id = run.info.run_id
        weights = client.download_artifacts(run_id, "weights.bin", str(folder))
        found[run.info.run_name] = {
            "status": run.info.status,
            "started": run.info.start_time,
            "params": run.data.params,
            "latest": run.data.metrics,
            "history": [[m.step, m.value] for m in client.get_metric_history(run_id, "fid")],
            "weights": Path(weights).read_text(encoding="utf-8"),
        }
    return found


def add(_: Path, client: mlflow.MlflowClient, name: str) -> None:
    """A better number for a run that is finished."""
    experiment = client.get_experiment_by_name("study")
    (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    client.log_metric(run.info.run_id, "fid", 0.125, step=7)


if __name__ == "__main__":
    place = Path(sys.argv[2]).resolve()
    verbs: dict[str, Callable[..., Any]] = {"make": make, "read": read, "add": add}
    answer = verbs[sys.argv[1]](
        place, mlflow.MlflowClient(f"sqlite:///{place}/mlflow.db"), *sys.argv[3:]
    )
    print(json.dumps(answer))
