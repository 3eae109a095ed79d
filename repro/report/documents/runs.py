"""How the runs of a study's specs stand: what is done, what is going on, what was never started."""

from collections.abc import Mapping, Sequence
from typing import Any

from repro.ledger.database import query
from repro.report.archive import Archive
from repro.report.rows import Execution
from repro.report.sides import Study
from repro.spec import Spec, rehearsal, run_id

NEVER = "never run"

_LATEST = """
SELECT execution_id, stage_id, max(step), min(step), min(recorded_at), max(recorded_at)
FROM progress WHERE list_contains($ids, execution_id)
GROUP BY execution_id, stage_id
QUALIFY row_number() OVER (PARTITION BY execution_id ORDER BY max(recorded_at) DESC) = 1
"""
_SECONDS = """
SELECT run_id, sum(elapsed_s) FROM executions
WHERE purpose = 'run' AND run_id IS NOT NULL GROUP BY run_id
"""


def of_study(study: Study, archive: Archive) -> list[dict[str, Any]]:
    """Every run of every spec, in the order of the claims file, each once."""
    by_run: dict[str, list[Execution]] = {}
    for each in archive.executions.values():
        if each.run_id:
            by_run.setdefault(each.run_id, []).append(each)
    seconds = dict(query(archive.root, _SECONDS).rows)
    found = {
        run_id(spec): _run(name, spec, study=study, by_run=by_run, seconds=seconds)
        for name, specs in study.runs.items()
        for spec in specs
    }
    return list(found.values())


def going_on(study: Study, archive: Archive) -> list[dict[str, Any]]:
    """The executions of the study's folders that have no seal: how far each came, and how fast."""
    unsealed = {
        each.execution_id: each
        for each in archive.executions.values()
        if each.purpose == "run" and each.study in study.folders and each.merkle_root is None
    }
    latest = {
        execution_id: rest
        for execution_id, *rest in query(archive.root, _LATEST, {"ids": list(unsealed)}).rows
    }
    return [_unsealed(each, latest.get(name), archive) for name, each in unsealed.items()]


def _run(
    name: str,
    spec: Spec,
    *,
    study: Study,
    by_run: Mapping[str, Sequence[Execution]],
    seconds: Mapping[str, float | None],
) -> dict[str, Any]:
    own = run_id(spec)
    attempts = [each for each in by_run.get(own, ()) if each.purpose == "run"]
    rehearsed = by_run.get(run_id(rehearsal(spec)), ())
    path = study.paths[name]
    return {
        "spec": name,
        "path": str(path),
        "title": spec.title or name,
        "run_id": own,
        "state": _state(attempts),
        "num_executions": len(attempts),
        "rehearsed": any(
            each.purpose == "rehearsal" and each.outcome == "done" for each in rehearsed
        ),
        "seconds": seconds.get(own),
        "command": study.commands[name],
    }


def _state(attempts: Sequence[Execution]) -> str:
    outcomes = [each.outcome for each in attempts]
    for outcome in ("done", "open"):
        if outcome in outcomes:
            return {"done": "done", "open": "running"}[outcome]
    return outcomes[-1] if outcomes else NEVER


def _unsealed(
    execution: Execution, latest: Sequence[Any] | None, archive: Archive
) -> dict[str, Any]:
    told = {
        "execution_id": execution.execution_id,
        "title": execution.title,
        "spec_path": execution.spec_path,
        "started_at": execution.started_at,
        "state": "running" if execution.outcome == "open" else execution.outcome,
        "stage": "",
        "step": None,
        "steps": None,
        "last_at": None,
        "seconds_left": None,
    }
    if latest is None:
        return told
    stage_id, step, first, began, ended = latest
    stage = archive.plan(execution.execution_id).get(stage_id)
    steps = getattr(getattr(stage and stage.spec, "train", None), "steps", None)
    return {
        **told,
        "stage": f"{stage.kind} {stage.name}" if stage else stage_id,
        "step": step,
        "steps": steps,
        "last_at": ended,
        "seconds_left": _seconds_left(step, first, steps, began=began, ended=ended),
    }


def _seconds_left(
    step: int, first: int, steps: int | None, *, began: str, ended: str
) -> float | None:
    """At the pace so far; unknown before two moments are on record."""
    from datetime import datetime

    spent = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    if steps is None or step == first or spent <= 0:
        return None
    return spent / (step - first) * (steps - step)
