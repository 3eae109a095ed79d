"""Small ledgers of trainings with several checkpoints, images of some, and verdicts on them."""

import os
from pathlib import Path
from typing import Any

from repro import digest
from repro.ledger import segment, store
from repro.ledger.records import (
    Artifact,
    Checkpoint,
    Measurement,
    StageEvent,
    Start,
    Verdict,
)
from repro.ledger.segment import Segment

STEPS = (50, 100, 150)
PLAN: tuple[dict[str, Any], ...] = (
    {"stage_id": "a" * 32, "kind": "train", "name": "train", "inputs": []},
    {"stage_id": "b" * 32, "kind": "sample", "name": "last", "inputs": ["a" * 32]},
    {"stage_id": "c" * 32, "kind": "evaluate", "name": "last", "inputs": ["b" * 32]},
)
TRAIN, SAMPLE, EVALUATE = (str(each["stage_id"]) for each in PLAN)


def start(name: str = "one", *, purpose: Any = "run") -> Start:
    """The start of a run whose spec is its name."""
    spec = f'{{"title":"{name}"}}'
    return Start(
        purpose=purpose,
        run_id=digest.xxh3_128(spec.encode()),
        study="toy",
        title=name,
        canonical_spec=spec,
        stages=PLAN,
    )


def event(stage_id: str, what: Any, **facts: Any) -> StageEvent:
    """A stage's event; its kind follows from the plan."""
    (kind,) = (each["kind"] for each in PLAN if each["stage_id"] == stage_id)
    return StageEvent(stage_id=stage_id, stage_kind=kind, name=kind, event=what, facts=facts)


def keep(root: Path, execution: Segment, stage_id: str | None, role: str, text: str) -> str:
    """Store and record an artifact whose bytes are its role and a text; its digest."""
    stored = store.put_bytes(root, f"{role} {text}".encode())
    weights = {"weights": digest_of("weights", text)} if role == "samples" else {}
    execution.append(
        Artifact(
            stage_id=stage_id,
            role=role,
            name=f"{text}.{role}",
            sha256=stored.sha256,
            xxh3_128=stored.xxh3_128,
            size_bytes=stored.size_bytes,
            facts=weights,
        )
    )
    return stored.sha256


def digest_of(role: str, text: str) -> str:
    """The digest of what `keep` stores."""
    return digest.sha256(f"{role} {text}".encode())


def train(root: Path, execution: Segment, name: str, *, steps: tuple[int, ...] = STEPS) -> None:
    """Leave weights and state of each of these steps."""
    execution.append(event(TRAIN, "started"))
    for step in steps:
        digests = {
            role: keep(root, execution, TRAIN, role, f"{name}-{step}")
            for role in ("weights", "state")
        }
        execution.append(Checkpoint(stage_id=TRAIN, step=step, **digests))


def measure(root: Path, execution: Segment, name: str, *, step: int = STEPS[-1]) -> int:
    """Make images from the weights of a step and measure them; the measurement's number."""
    images = keep(root, execution, SAMPLE, "samples", f"{name}-{step}")
    execution.append(event(SAMPLE, "done"))
    features = keep(root, execution, EVALUATE, "features", f"{name}-{step}")
    seq = execution.append(
        Measurement(
            stage_id=EVALUATE,
            evaluation="last",
            metric="fid",
            value=12.5,
            num_samples=2049,
            protocol_id="p" * 32,
            samples=images,
            features=features,
        )
    )
    execution.append(event(EVALUATE, "done"))
    return seq


def execute(
    root: Path, name: str = "one", *, purpose: Any = "run", step: int = STEPS[-1]
) -> tuple[str, int]:
    """A whole execution: code, training, images, numbers; its id and its measurement's number."""
    with segment.begin(root, start(name, purpose=purpose)) as execution:
        keep(root, execution, None, "patch", name)
        train(root, execution, name)
        execution.append(event(TRAIN, "done"))
        seq = measure(root, execution, name, step=step)
    return execution.execution_id, seq


def die(root: Path, name: str = "one", *, steps: tuple[int, ...] = STEPS[:2]) -> str:
    """An execution that is killed in the middle of its training; its id."""
    child = os.fork()
    if child == 0:
        execution = segment.begin(root, start(name))
        train(root, execution, name, steps=steps)
        os._exit(9)
    os.waitpid(child, 0)
    return max(path.stem for path in (root / "segments").iterdir())


def judge(root: Path, execution_id: str, seq: int, *, admitted: bool = True) -> None:
    """A verdict that admitted, or refused, a measurement."""
    evidence = {"side": "toy", "execution_id": execution_id, "seq": seq}
    with segment.begin(root, Start(purpose="report", study="toy")) as execution:
        execution.append(
            Verdict(
                study="toy",
                name="better",
                claim_digest="0" * 32,
                verdict="supported" if admitted else "unproven",
                admitted=[evidence] if admitted else [],
                refused=[] if admitted else [{**evidence, "rules": {"samples": "too few"}}],
            )
        )


def grown_old(root: Path, *, seconds: float = 86_400.0) -> None:
    """As if nothing in the ledger had been touched for so long."""
    for path in (*root.glob("objects/**/*"), *root.glob("segments/*")):
        moved = path.stat().st_mtime - seconds
        os.utime(path, (moved, moved))
