"""The small ledger whose answers `ledger/README.md` shows: three runs, and a claim about them."""

import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from repro import digest
from repro.ledger.records import (
    Checkpoint,
    Claim,
    Measurement,
    Protocol,
    Provenance,
    StageEvent,
    Start,
    Verdict,
)
from repro.ledger.segment import Segment, begin
from repro.spec import Spec, Stage, canonical_spec, run_id, stages, structure

SPEC = f"""
schema = 1
title = "lr 2e-3"

[data]
kind = "digits"

[network]
kind = "conv-generator"

[objective]
kind = "drifting"
temperatures = [0.05, 0.2]

[train]
steps = 300
seed = 1
lr = 2e-3
checkpoint_every = 100

[protocol]
reference = {{ kind = "shipped", name = "cifar10-test", digest = "sha256:{"0" * 64}" }}
metrics = [{{ kind = "fid" }}]

[[evaluate]]
name = "last"
checkpoints = {{ last = 3 }}
sample = {{ kind = "checkpoint", num_samples = 2049, seed = 0, sampler = {{ kind = "one-step" }} }}
"""
SWEPT = """
[[evaluate]]
name = "alpha-{alpha}"
sample = {{ kind = "checkpoint", num_samples = 2049, seed = {seed}, sampler = {sampler} }}
"""
ALPHAS = {"1.5": 10_000, "2.0": 20_000}
FIRST = {
    "last@100": 40.0,
    "last@200": 31.0,
    "last@300": 30.5,
    "alpha-1.5": 29.75,
    "alpha-2.0": 33.0,
}
PROTOCOL: Mapping[str, Any] = {"extractor": "inception-v3-compat", "num_samples": 2049}
PROTOCOL_ID = digest.xxh3_128(digest.canonical(PROTOCOL))
STAGE_S = {"train": 600.0, "sample": 12.0}


def write(root: Path, *, apart: float = 4.5) -> None:
    """Record all of it; the second run's values are so much worse than the first's."""
    worse = {name: value + apart for name, value in FIRST.items()}
    first = _run(root, _spec(lr=2e-3), FIRST, hour=9, python="3.11.7")
    _run(root, _spec(lr=1e-3), worse, hour=10, python="3.12.1", train_s=450.0)
    _run(root, _spec(lr=0.5), {}, hour=11, python="3.12.1")
    _claim(root, first, hour=12)


def _spec(*, lr: float) -> Spec:
    swept = (
        SWEPT.format(alpha=alpha, seed=seed, sampler=f'{{ kind = "one-step", alpha = {alpha} }}')
        for alpha, seed in ALPHAS.items()
    )
    data = tomllib.loads(SPEC + "".join(swept))
    data["train"]["lr"] = lr
    return structure({**data, "title": f"lr {lr:.0e}".replace("e-0", "e-")})


def _begin(root: Path, start: Start, *, hour: int) -> Segment:
    """An execution of that hour; each of its records is a second later than the one before."""
    seconds = iter(range(3600))
    day = datetime(2026, 11, 20, hour, tzinfo=UTC)
    return begin(root, start, now=lambda: day + timedelta(seconds=next(seconds)))


def _run(
    root: Path,
    spec: Spec,
    values: Mapping[str, float],
    *,
    hour: int,
    python: str,
    train_s: float = STAGE_S["train"],
) -> Mapping[str, tuple[str, int]]:
    """Record a run that measured these values, or failed if there are none.

    Returns where each measurement is: its execution and its place in it.
    """
    plan = stages(spec)
    segment = _begin(root, _start(spec, plan), hour=hour)
    segment.append(Provenance(provider="git", status="ok", value={"commit": f"{hour:02d}" * 20}))
    segment.append(Provenance(provider="python", status="ok", value={"version": python}))
    segment.append(Protocol(protocol_id=PROTOCOL_ID, facts=PROTOCOL))
    places = {}
    for stage in plan:
        if stage.kind == "train" and not values:
            segment.seal("failed", "RunError: the loss is not finite")
            break
        if stage.kind == "train":
            _checkpoints(segment, stage)
        if stage.kind == "evaluate":
            seq = segment.append(_measurement(stage, values[stage.name]))
            places[stage.name] = (segment.execution_id, seq)
        segment.append(_done(stage, elapsed_s={**STAGE_S, "train": train_s}.get(stage.kind, 1.0)))
    else:
        segment.seal("done")
    return places


def _start(spec: Spec, plan: Sequence[Stage]) -> Start:
    return Start(
        purpose="run",
        run_id=run_id(spec),
        study="digits",
        title=spec.title,
        spec_path="specs/digits/lr.toml",
        canonical_spec=canonical_spec(spec).decode(),
        stages=tuple(
            {"stage_id": each.stage_id, "kind": each.kind, "name": each.name, "inputs": each.inputs}
            for each in plan
        ),
    )


def _checkpoints(segment: Segment, stage: Stage) -> None:
    for step in (100, 200, 300):
        weights = digest.sha256(f"{segment.execution_id} {step}".encode())
        segment.append(Checkpoint(stage_id=stage.stage_id, step=step, weights=weights))


def _measurement(stage: Stage, value: float) -> Measurement:
    return Measurement(
        stage_id=stage.stage_id,
        evaluation=stage.name,
        checkpoint_step=int(stage.name.partition("@")[2] or 300),
        metric="fid",
        value=value,
        se=0.5,
        se_kind="influence",
        num_samples=2049,
        protocol_id=PROTOCOL_ID,
        samples=digest.sha256(stage.name.encode()),
        facts={"formula": {"extrapolated": value - 2.0}},
    )


def _done(stage: Stage, *, elapsed_s: float) -> StageEvent:
    return StageEvent(
        stage_id=stage.stage_id,
        stage_kind=stage.kind,
        name=stage.name,
        event="done",
        elapsed_s=elapsed_s,
        cpu_s=elapsed_s,
    )


def _claim(root: Path, places: Mapping[str, tuple[str, int]], *, hour: int) -> None:
    claim = Claim(
        study="digits",
        name="alpha-helps",
        text="Guidance at 1.5 is better than none.",
        condition={"kind": "comparison", "metric": "fid"},
        claim_digest="c" * 32,
    )
    verdict = Verdict(
        study="digits",
        name=claim.name,
        claim_digest=claim.claim_digest,
        verdict="indistinguishable",
        admitted=[
            {"side": f"lr:{name}", "execution_id": execution_id, "seq": seq}
            for name, (execution_id, seq) in places.items()
            if name in ("alpha-1.5", "last@300")
        ],
    )
    with _begin(root, Start(purpose="report", study="digits"), hour=hour) as segment:
        segment.append(claim)
        segment.append(verdict)
