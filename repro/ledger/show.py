"""What `show` prints: a run and its executions as plain data."""

from pathlib import Path
from typing import Any

from repro.errors import IntegrityError
from repro.ledger import history
from repro.ledger.chain import ChainError
from repro.ledger.history import Execution
from repro.ledger.records import Artifact, Measurement, Provenance, Record, StageEvent


def describe(root: Path, beginning: str) -> dict[str, Any]:
    """A run with its executions, by a beginning of the run's or of one execution's id.

    Raises:
        LedgerError: there is no ledger; nothing, or more than one run, has such an id.
        IntegrityError: an execution says that it is of a run whose spec it does not hold.
    """
    found = history.find(root, beginning)
    specs = [_spec(root, each) for each in found]
    start = found[-1].start
    return {
        "run_id": start.run_id,
        "title": start.title,
        "study": start.study,
        "spec_path": start.spec_path,
        "spec": specs[-1],
        "executions": [_execution(root, each) for each in found],
    }


def _spec(root: Path, execution: Execution) -> Any:
    try:
        return history.recorded_spec(execution.start)
    except ChainError as error:
        raise IntegrityError(f"{_path(root, execution.execution_id)}: {error}") from error


def _path(root: Path, execution_id: str) -> Path:
    return root / "segments" / f"{execution_id}.jsonl"


def _execution(root: Path, execution: Execution) -> dict[str, Any]:
    own = execution.execution_id
    said, problem = _records(root, own)
    events = {each.stage_id: each for each in said if isinstance(each, StageEvent)}
    reused = {each.stage_id: _done_by(each) for each in events.values() if each.event == "reused"}
    others = {each: _records(root, each) for each in sorted(set(reused.values()))}
    known = {own: said} | {name: records for name, (records, _) in others.items()}
    problems = [problem, *(f"{name}: {other}" for name, (_, other) in others.items() if other)]
    return {
        "execution_id": own,
        "purpose": execution.start.purpose,
        "status": execution.status,
        "error": "" if execution.seal is None else execution.seal.error,
        "started_at": execution.started_at,
        "ended_at": execution.ended_at,
        "host": execution.start.host,
        "command": list(execution.start.command),
        "broken": "; ".join(filter(None, problems)),
        "commit": next((each.value.get("commit") for each in _git(said)), None),
        "stages": {stage_id: _stage(each) for stage_id, each in events.items()},
        "measurements": [
            _measurement(each, evaluation=name, measured_by=by)
            for stage_id, name in _planned(execution)
            for by in [reused.get(stage_id, own)]
            for each in known[by]
            if isinstance(each, Measurement) and each.stage_id == stage_id
        ],
        "artifacts": [_artifact(each) for each in said if isinstance(each, Artifact)],
    }


def _planned(execution: Execution) -> list[tuple[str, str]]:
    return [(str(each.get("stage_id")), str(each.get("name"))) for each in execution.start.stages]


def _done_by(reused: StageEvent) -> str:
    return str(reused.facts.get("execution_id"))


def _records(root: Path, execution_id: str) -> tuple[list[Record], str]:
    """The records of an execution up to the first break, and what broke."""
    path = _path(root, execution_id)
    if not path.is_file():
        return [], "the segment is missing"
    said: list[Record] = []
    try:
        for line in history.read_lines(path):
            record = history.decoded(line)
            if record is not None:
                said.append(record)
    except ChainError as error:
        return said, str(error)
    return said, ""


def _git(said: list[Record]) -> list[Provenance]:
    return [each for each in said if isinstance(each, Provenance) and each.provider == "git"]


def _stage(event: StageEvent) -> dict[str, Any]:
    return {
        "kind": event.stage_kind,
        "name": event.name,
        "event": event.event,
        "elapsed_s": event.elapsed_s,
    }


def _measurement(measurement: Measurement, *, evaluation: str, measured_by: str) -> dict[str, Any]:
    return {
        "evaluation": evaluation,
        "checkpoint_step": measurement.checkpoint_step,
        "metric": measurement.metric,
        "value": measurement.value,
        "se": measurement.se,
        "num_samples": measurement.num_samples,
        "protocol_id": measurement.protocol_id,
        "measured_by": measured_by,
    }


def _artifact(artifact: Artifact) -> dict[str, Any]:
    return {
        "role": artifact.role,
        "name": artifact.name,
        "sha256": artifact.sha256,
        "size_bytes": artifact.size_bytes,
    }
