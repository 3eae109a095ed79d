"""What `show` prints: a run and its executions as plain data."""

import json
from pathlib import Path
from typing import Any

from repro.ledger import history
from repro.ledger.chain import ChainError
from repro.ledger.history import Execution
from repro.ledger.records import Artifact, Measurement, Provenance, Record, StageEvent


def describe(root: Path, beginning: str) -> dict[str, Any]:
    """A run with its executions, by a beginning of the run's or of one execution's id.

    Raises:
        LedgerError: nothing, or more than one run, has such an id.
    """
    found = history.find(root, beginning)
    start = found[-1].start
    return {
        "run_id": start.run_id,
        "title": start.title,
        "study": start.study,
        "spec_path": start.spec_path,
        "spec": None if start.canonical_spec is None else json.loads(start.canonical_spec),
        "executions": [_execution(root, each) for each in found],
    }


def _execution(root: Path, execution: Execution) -> dict[str, Any]:
    said, problem = _records(root, execution.execution_id)
    return {
        "execution_id": execution.execution_id,
        "purpose": execution.start.purpose,
        "status": execution.status,
        "error": "" if execution.seal is None else execution.seal.error,
        "started_at": execution.started_at,
        "ended_at": execution.ended_at,
        "host": execution.start.host,
        "command": list(execution.start.command),
        "broken": problem,
        "commit": next((each.value.get("commit") for each in _git(said)), None),
        "stages": {each.stage_id: _stage(each) for each in said if isinstance(each, StageEvent)},
        "measurements": [_measurement(each) for each in said if isinstance(each, Measurement)],
        "artifacts": [_artifact(each) for each in said if isinstance(each, Artifact)],
    }


def _records(root: Path, execution_id: str) -> tuple[list[Record], str]:
    """The records of an execution up to the first break, and what broke."""
    said: list[Record] = []
    try:
        for line in history.read_lines(root / "segments" / f"{execution_id}.jsonl"):
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


def _measurement(measurement: Measurement) -> dict[str, Any]:
    return {
        "evaluation": measurement.evaluation,
        "checkpoint_step": measurement.checkpoint_step,
        "metric": measurement.metric,
        "value": measurement.value,
        "se": measurement.se,
        "num_samples": measurement.num_samples,
        "protocol_id": measurement.protocol_id,
    }


def _artifact(artifact: Artifact) -> dict[str, Any]:
    return {
        "role": artifact.role,
        "name": artifact.name,
        "sha256": artifact.sha256,
        "size_bytes": artifact.size_bytes,
    }
