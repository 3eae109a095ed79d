"""A run as the engine would record it, in a second: real records and files, small features.

Features have four dimensions instead of 2048; every formula, digest and rule is the real one.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, frozen
from PIL import Image
from safetensors.numpy import save

from repro import digest
from repro.ledger import store
from repro.ledger.records import (
    Artifact,
    Calibration,
    Checkpoint,
    Decision,
    Measurement,
    Progress,
    Protocol,
    Provenance,
    StageEvent,
    Start,
)
from repro.ledger.segment import Segment, begin
from repro.metrics import frechet, measure
from repro.metrics.features import Features, encode_features
from repro.metrics.influence import encode_influences
from repro.metrics.reference import ReferenceStatistics, encode_reference
from repro.metrics.standard import POOL3_DIGEST, RESIZE
from repro.spec import Spec, Stage, canonical_spec, load, run_id, stages

DIMENSIONS = 4
COMMITTED = Provenance(
    provider="git",
    status="ok",
    value={"commit": "c" * 40, "branch": "main", "dirty": False, "untracked": [], "artifacts": {}},
)
SYSTEM = Provenance(provider="system", status="ok", value={"system": "Linux", "machine": "x86_64"})
EXTRACTOR: Mapping[str, Any] = {
    "name": "inception-v3-compat",
    "weights": "standard",
    "weights_digest": POOL3_DIGEST,
    "code": {"torch_fidelity": "0.4.0"},
    "dtype": "float32",
    "device": "cpu",
    "tf32": False,
    "autocast": False,
    "backend": "torch",
    "layer": "2048",
}
FORMULAS = {"fid": measure.fid, "kid": measure.kernel_distance}
PROBE: Mapping[str, Any] = {"before": 4e-6, "after": 4e-6, "tolerance": 1e-4}
RANDOM_DIGEST = "sha256:" + "d" * 64


@frozen(kw_only=True)
class Made:
    """How one evaluation comes out. `shift` moves every feature: FID is about 4 shift^2.

    `scale` spreads them. `facts` replaces recorded facts, `fields` those of the finished record.
    """

    shift: float = 0.0
    facts: Mapping[str, Any] = {}
    fields: Mapping[str, Any] = {}
    scale: float = 1.0
    duplicates: int = 0
    reference_facts: Mapping[str, Any] = {}


@frozen(kw_only=True)
class Attempt:
    """What is unusual about an execution."""

    purpose: Any = "run"
    provenance: Sequence[Provenance] = (COMMITTED, SYSTEM)
    calibrated: bool = True
    decisions: Sequence[Decision] = ()
    until: str = ""
    """The evaluation before which the process is killed, if it is."""
    reused: Mapping[str, str] = {}
    """The evaluations that are done already, and the executions that did them."""


def run(
    root: Path,
    path: Path,
    made: Mapping[str, Made],
    *,
    attempt: Attempt | None = None,
    spec: Spec | None = None,
) -> str:
    """Record an execution of the spec in a file; returns its id."""
    attempt = attempt or Attempt()
    spec = spec or load(path)[0]
    wanted = {stage.stage_id: stage for stage in stages(spec)}
    segment = begin(root, _start(spec, path, wanted, attempt.purpose))
    for provenance in attempt.provenance:
        segment.append(provenance)
    for stage in wanted.values():
        if stage.kind == "evaluate" and stage.name == attempt.until:
            return segment.execution_id
        if stage.kind == "evaluate" and stage.name in attempt.reused:
            _event(segment, stage, "reused", {"execution_id": attempt.reused[stage.name]})
            continue
        _event(segment, stage, "started")
        _do(root, segment, stage, wanted, made, attempt)
        _event(segment, stage, "done")
    for decision in attempt.decisions:
        segment.append(decision)
    segment.seal("done")
    return segment.execution_id


def replaced(facts: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested facts with the values at dotted paths replaced."""
    result = dict(facts)
    for path, value in changes.items():
        key, _, rest = path.partition(".")
        result[key] = replaced(result.get(key, {}), {rest: value}) if rest else value
    return result


def _start(spec: Spec, path: Path, wanted: Mapping[str, Stage], purpose: Any) -> Start:
    return Start(
        purpose=purpose,
        run_id=run_id(spec),
        study=path.parent.name,
        title=spec.title,
        spec_path=f"specs/{path.parent.name}/{path.name}",
        canonical_spec=canonical_spec(spec).decode(),
        command=("repro", "run", f"specs/{path.parent.name}/{path.name}"),
        stages=tuple(
            {
                "stage_id": stage.stage_id,
                "kind": stage.kind,
                "name": stage.name,
                "inputs": list(stage.inputs),
            }
            for stage in wanted.values()
        ),
    )


def _event(
    segment: Segment, stage: Stage, event: Any, facts: Mapping[str, Any] | None = None
) -> None:
    segment.append(
        StageEvent(
            stage_id=stage.stage_id,
            stage_kind=stage.kind,
            name=stage.name,
            event=event,
            elapsed_s=1.0 if event == "done" else None,
            facts=facts or {},
        )
    )


def _do(
    root: Path,
    segment: Segment,
    stage: Stage,
    wanted: Mapping[str, Stage],
    made: Mapping[str, Made],
    attempt: Attempt,
) -> None:
    match stage.kind:
        case "train":
            _train(root, segment, stage)
        case "calibrate":
            segment.append(
                Calibration(
                    stage_id=stage.stage_id, subject={}, facts={}, passed=attempt.calibrated
                )
            )
        case "sample":
            _sample(root, segment, stage, made.get(stage.name, Made()))
        case "evaluate":
            _evaluate(root, segment, stage, wanted, made.get(stage.name, Made()))
        case _:
            pass


def _train(root: Path, segment: Segment, stage: Stage) -> None:
    for step in (0, 2):
        stored = store.put_bytes(root, f"weights {stage.stage_id} {step}".encode())
        segment.append(Checkpoint(stage_id=stage.stage_id, step=step, weights=stored.sha256))
    for step in (1, 2):
        values = {
            "energy/pixels/0.02": 0.5 / step,
            "energy/pixels/0.2": 1.0 / step,
            "grad_norm": 1.0,
        }
        segment.append(Progress(stage_id=stage.stage_id, step=step, values=values))


def _images(stage: Stage, duplicates: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Images [n, 2, 2, 3], each another one, the last ones repeated."""
    sample: Any = stage.spec
    count, first = sample.sample.num_samples, sample.sample.seed
    numbers = np.arange(first, first + count, dtype=">u4")
    images = np.zeros((count, 12), np.uint8)
    images[:, :4] = numbers.view(np.uint8).reshape(count, 4)
    images[:, 4:] = np.frombuffer(bytes.fromhex(stage.stage_id)[:8], np.uint8)
    if duplicates:
        images[-duplicates:] = images[0]
    return images.reshape(count, 2, 2, 3)


def _sample(root: Path, segment: Segment, stage: Stage, made: Made) -> None:
    images = _images(stage, made.duplicates)
    _keep(root, segment, stage, "samples", save({"images": images}), "samples.safetensors")
    file = io.BytesIO()
    tiles = np.random.default_rng(len(images)).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(tiles).save(file, "PNG")
    _keep(root, segment, stage, "sheet", file.getvalue(), "sheet.png", "image/png")


def _evaluate(
    root: Path, segment: Segment, stage: Stage, wanted: Mapping[str, Stage], made: Made
) -> None:
    (sampling,) = [wanted[each] for each in stage.inputs if wanted[each].kind == "sample"]
    sample: Any = sampling.spec
    count, seed = sample.sample.num_samples, sample.sample.seed
    random = np.random.default_rng(seed + int(1000 * made.shift))
    points = random.normal(size=(count, DIMENSIONS)).astype(np.float32)
    points = points * np.float32(made.scale) + np.float32(made.shift)
    features = Features(pool3=points)
    reference = reference_statistics(made.reference_facts)
    values = {
        each["kind"]: FORMULAS[each["kind"]](features, reference)[0]
        for each in stage.payload["metrics"]
    }
    influence = {name: value.influence for name, value in values.items()}
    data = {
        "features": encode_features(features),
        "influence": encode_influences(influence),  # type: ignore[arg-type]
        "reference": encode_reference(reference),
    }
    files = {
        role: _keep(root, segment, stage, role, each, f"{role}.safetensors")
        for role, each in data.items()
    }
    images = _images(sampling, made.duplicates)
    samples = store.put_bytes(root, save({"images": images})).sha256
    for metric, value in values.items():
        facts = replaced(
            {
                "extractor": EXTRACTOR,
                "probe": PROBE,
                "resize": RESIZE,
                "images": {
                    "count": count,
                    "unique": count - made.duplicates,
                    "sizes": [[2, 2]],
                    "channels": 3,
                    "lossless": True,
                    "quantisation": "round-half-even",
                },
                "reference": {"digest": reference.digest, **reference.facts},
                "formula": {**value.settings, **value.outcome},
            },
            made.facts,
        )
        protocol = {
            "metric": metric,
            "num_samples": count,
            "extractor": {
                name: facts["extractor"][name] for name in ("name", "weights", "weights_digest")
            },
            "resize": facts["resize"],
            "reference": facts["reference"]["digest"],
        }
        protocol_id = digest.xxh3_128(digest.canonical(protocol))
        segment.append(Protocol(protocol_id=protocol_id, facts=protocol))
        measurement = Measurement(
            stage_id=stage.stage_id,
            evaluation=stage.name,
            checkpoint_step=sample.checkpoint,
            metric=metric,
            value=value.value,
            se=value.se,
            se_kind=value.se_kind,
            unit=value.unit,
            num_samples=count,
            protocol_id=protocol_id,
            samples=samples,
            features=files["features"],
            influence=files["influence"],
            reference=files["reference"],
            pairing=digest.sha256(str((seed, count)).encode()),
            facts=facts,
        )
        segment.append(evolve(measurement, **made.fields))


def reference_statistics(changes: Mapping[str, Any]) -> ReferenceStatistics:
    """Statistics of 4,096 standard normal points."""
    points = np.random.default_rng(7).normal(size=(4096, DIMENSIONS)).astype(np.float32)
    facts = {
        "dataset": "cifar10",
        "split": "test",
        "count": 4096,
        "extractor": EXTRACTOR,
        "resize": RESIZE,
        "probe": PROBE,
    }
    return ReferenceStatistics(
        moments=frechet.moments(points), features=points[:200], facts=replaced(facts, changes)
    )


def _keep(
    root: Path,
    segment: Segment,
    stage: Stage,
    role: str,
    data: bytes,
    name: str,
    media_type: str = "application/octet-stream",
) -> str:
    stored = store.put_bytes(root, data)
    segment.append(
        Artifact(
            stage_id=stage.stage_id,
            role=role,
            name=name,
            sha256=stored.sha256,
            xxh3_128=stored.xxh3_128,
            size_bytes=stored.size_bytes,
            media_type=media_type,
        )
    )
    return stored.sha256
