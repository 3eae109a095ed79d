"""Small ledgers to test with."""

from pathlib import Path
from typing import Any

from attrs import evolve

from repro import digest
from repro.ledger import segment, store
from repro.ledger.records import (
    Artifact,
    Checkpoint,
    Measurement,
    Progress,
    Protocol,
    StageEvent,
    Start,
)

TRAIN, EVALUATE = "a" * 32, "b" * 32
PLAN: tuple[dict[str, Any], ...] = (
    {"stage_id": TRAIN, "kind": "train", "name": "train", "inputs": []},
    {"stage_id": EVALUATE, "kind": "evaluate", "name": "last", "inputs": [TRAIN]},
)


def start(name: str = "one", *, purpose: Any = "run", study: str = "toy") -> Start:
    """The start of a run whose spec is its name."""
    canonical_spec = f'{{"title":"{name}"}}'
    return Start(
        purpose=purpose,
        run_id=digest.xxh3_128(canonical_spec.encode()),
        study=study,
        title=name,
        canonical_spec=canonical_spec,
        command=("repro", "run", f"{name}.toml"),
        stages=PLAN,
    )


def event(stage_id: str, what: Any, *, elapsed_s: float | None = None) -> StageEvent:
    """A stage's event; the kind follows from the plan."""
    kind = "train" if stage_id == TRAIN else "evaluate"
    return StageEvent(
        stage_id=stage_id, stage_kind=kind, name=kind, event=what, elapsed_s=elapsed_s
    )


def artifact(root: Path, data: bytes, *, stage_id: str = TRAIN, role: str = "weights") -> Artifact:
    """An artifact with these bytes, in the store."""
    stored = store.put_bytes(root, data)
    return Artifact(
        stage_id=stage_id,
        role=role,
        name=f"{role}.bin",
        sha256=stored.sha256,
        xxh3_128=stored.xxh3_128,
        size_bytes=stored.size_bytes,
    )


def measurement(value: float = 12.5, **more) -> Measurement:
    """A number of the evaluation stage."""
    return Measurement(
        stage_id=EVALUATE,
        evaluation="last",
        metric="fid",
        value=value,
        num_samples=2049,
        protocol_id="p" * 32,
        samples=digest.sha256(b"images"),
        **more,
    )


def reuse(root: Path, earlier: str, name: str = "one", *, plan: Any = PLAN) -> str:
    """An execution that reused every stage of its plan from an earlier one; its id."""
    with segment.begin(root, evolve(start(name), stages=plan)) as execution:
        for each in plan:
            reused = event(each["stage_id"], "reused")
            execution.append(evolve(reused, facts={"execution_id": earlier}))
    return execution.execution_id


def execute(root: Path, name: str = "one", *, value: float = 12.5) -> str:
    """A whole execution: trained, measured, sealed; its id."""
    with segment.begin(root, start(name)) as execution:
        execution.append(event(TRAIN, "started"))
        for step in range(1, 4):
            values = {"loss": [1 / step], "rate": [0.1]}
            record = Progress(stage_id=TRAIN, steps=[step], values=values)
            execution.append(record, durable=False)
        weights = artifact(root, name.encode())
        execution.append(weights)
        execution.append(Checkpoint(stage_id=TRAIN, step=3, weights=weights.sha256))
        execution.append(event(TRAIN, "done", elapsed_s=2.0))
        execution.append(Protocol(protocol_id="p" * 32, facts={"layer": "pool3"}))
        store.put_bytes(root, b"images")
        execution.append(measurement(value))
        execution.append(event(EVALUATE, "done", elapsed_s=1.0))
    return execution.execution_id


def path_of(root: Path, execution_id: str) -> Path:
    """The segment of an execution, writable, as an attacker would make it."""
    path = root / "segments" / f"{execution_id}.jsonl"
    path.chmod(0o644)
    return path


def lines_of(root: Path, execution_id: str) -> list[bytes]:
    """The lines of a segment, newlines included."""
    return path_of(root, execution_id).read_bytes().splitlines(keepends=True)
