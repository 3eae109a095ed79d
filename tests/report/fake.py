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

from repro.digest import canonical, sha256
from repro.ledger import store
from repro.ledger.records import (
    Artifact,
    Calibration,
    Checkpoint,
    Decision,
    Measurement,
    Protocol,
    Provenance,
    StageEvent,
    Start,
)
from repro.ledger.segment import Segment, begin
from repro.metrics import frechet, measure
from repro.metrics.features import Features, encode_features
from repro.metrics.image_set import image_names, pairing, set_digest
from repro.metrics.influence import encode_influences
from repro.metrics.protocol import protocol_facts, protocol_id
from repro.metrics.reference import ReferenceStatistics, encode_reference
from repro.metrics.standard import CODE, POOL3_DIGEST, RESIZE
from repro.spec import Spec, Stage, canonical_spec, load, run_id, stages

DIMENSIONS = 4
PARAMETERS = 1000
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
    "code": dict(CODE),
    "dtype": "float32",
    "device": "cpu",
    "tf32": False,
    "autocast": False,
    "backend": "torch",
    "layer": "2048",
}
FORMULAS = {
    "fid": measure.fid,
    "kid": measure.kernel_distance,
    "prc": measure.precision_recall,
}
PROBE: Mapping[str, Any] = {"before": 4e-6, "after": 4e-6, "tolerance": 1e-4}
CALIBRATION: Mapping[str, Any] = {
    "mean_error": 0.01,
    "std_error": -0.1,
    "mean_tolerance": 0.05,
    "std_tolerance": 0.3,
}
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
    reference_count: int = 4096
    num_features: int = 2100
    reference_facts: Mapping[str, Any] = {}


@frozen(kw_only=True)
class Attempt:
    """What is unusual about an execution."""

    purpose: Any = "run"
    provenance: Sequence[Provenance] = (COMMITTED, SYSTEM)
    calibrated: bool = True
    calibration: Mapping[str, Any] = CALIBRATION
    checkpoints: Sequence[int] = (0, 2)
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
        told = {"parameters": PARAMETERS} if stage.kind == "train" else {}
        _event(segment, stage, "done", told)
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
            _train(root, segment, stage, attempt.checkpoints)
        case "export":
            _keep(root, segment, stage, "encoder", b"encoder", "mae-encoder.safetensors")
        case "calibrate":
            segment.append(
                Calibration(
                    stage_id=stage.stage_id,
                    subject={},
                    facts=attempt.calibration,
                    passed=attempt.calibrated,
                )
            )
        case "sample":
            _sample(root, segment, stage, made.get(stage.name, Made()))
        case "evaluate":
            _evaluate(root, segment, stage, wanted, made.get(stage.name, Made()))
        case "probe":
            _probe(root, segment, stage, made.get(stage.name, Made()))
        case _:
            pass


def _weights(stage: Stage, step: int) -> bytes:
    """Weights that depend on the network and its seed, not on how often they are saved."""
    train = {k: v for k, v in stage.payload["train"].items() if k != "checkpoint_every"}
    return f"weights {canonical({**stage.payload, 'train': train}).decode()} {step}".encode()


def _train(root: Path, segment: Segment, stage: Stage, steps: Sequence[int]) -> None:
    for step in steps:
        stored = store.put_bytes(root, _weights(stage, step))
        segment.append(Checkpoint(stage_id=stage.stage_id, step=step, weights=stored.sha256))
    for step in (1, 2):
        values = {
            "energy/pixels/0.02": 0.5 / step,
            "energy/pixels/0.2": 1.0 / step,
            "grad_norm": 1.0,
        }
        segment.log(stage.stage_id, step, values)


def _samples(stage: Stage, duplicates: int) -> dict[str, Any]:
    """Images [n, 2, 2, 3], each another one, the last ones repeated; their seeds and labels."""
    sample: Any = stage.spec
    count, first = sample.sample.num_samples, sample.sample.seed
    sources = np.arange(first, first + count)
    images = np.zeros((count, 12), np.uint8)
    images[:, :4] = sources.astype(">u4").view(np.uint8).reshape(count, 4)
    images[:, 4:] = np.frombuffer(bytes.fromhex(stage.stage_id)[:8], np.uint8)
    if duplicates:
        images[-duplicates:] = images[0]
    return {
        "images": images.reshape(count, 2, 2, 3),
        "sources": sources,
        "labels": np.zeros(count, np.int64),
    }


def _sample(root: Path, segment: Segment, stage: Stage, made: Made) -> None:
    samples = _samples(stage, made.duplicates)
    _keep(root, segment, stage, "samples", save(samples), "samples.safetensors")
    sheet = _png(seed=len(samples["images"]))
    _keep(root, segment, stage, "sheet", sheet, "sheet.png", "image/png")


def _evaluate(
    root: Path, segment: Segment, stage: Stage, wanted: Mapping[str, Stage], made: Made
) -> None:
    inputs = {wanted[each].kind: wanted[each] for each in stage.inputs}
    sampling: Any = inputs["sample"]
    reference = reference_statistics(made)
    features = _features(sampling.spec.sample, made)
    values = [
        value
        for each in stage.payload["metrics"]
        for value in FORMULAS[each["kind"]](features, reference)
    ]
    influence = {each.metric: each.influence for each in values if each.influence is not None}
    files = {
        role: _keep(root, segment, owner, role, data, f"{role}.safetensors")
        for role, owner, data in (
            ("features", stage, encode_features(features)),
            ("influence", stage, encode_influences(influence)),
            ("reference", inputs["reference"], encode_reference(reference)),
        )
    }
    samples = _samples(sampling, made.duplicates)
    files["samples"] = store.put_bytes(root, save(samples)).sha256
    for value in values:
        facts = _facts(samples, value, reference, _sample_facts(sampling, wanted), made)
        count = len(samples["images"])
        protocol = protocol_facts(value.metric, num_samples=count, facts=facts)
        segment.append(Protocol(protocol_id=protocol_id(protocol), facts=protocol))
        measurement = Measurement(
            stage_id=stage.stage_id,
            evaluation=stage.name,
            checkpoint_step=sampling.spec.checkpoint,
            metric=value.metric,
            value=value.value,
            se=value.se,
            se_kind=value.se_kind,
            unit=value.unit,
            num_samples=count,
            protocol_id=protocol_id(protocol),
            samples=files["samples"],
            features=files["features"],
            influence=None if value.influence is None else files["influence"],
            reference=files["reference"],
            pairing=pairing(samples["sources"], samples["labels"]),
            facts=facts,
        )
        segment.append(evolve(measurement, **made.fields))


def _probe(root: Path, segment: Segment, stage: Stage, made: Made) -> None:
    """A number and a picture; *made* shifts the number."""
    picture = _keep(root, segment, stage, "grid", _png(seed=1), "grid.png", "image/png")
    facts = {"probe": stage.payload["probe"]["kind"]}
    protocol = {"metric": "mean_cosine", "probe": stage.payload["probe"]}
    segment.append(Protocol(protocol_id=protocol_id(protocol), facts=protocol))
    segment.append(
        Measurement(
            stage_id=stage.stage_id,
            evaluation=stage.name,
            checkpoint_step=2,
            metric="mean_cosine",
            value=0.25 + made.shift,
            num_samples=60,
            protocol_id=protocol_id(protocol),
            samples=picture,
            facts=facts,
        )
    )


def _png(*, seed: int) -> bytes:
    file = io.BytesIO()
    tiles = np.random.default_rng(seed).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(tiles).save(file, "PNG")
    return file.getvalue()


def _features(sample: Any, made: Made) -> Features:
    random = np.random.default_rng(sample.seed + int(1000 * made.shift))
    points = random.normal(size=(sample.num_samples, DIMENSIONS)).astype(np.float32)
    return Features(pool3=points * np.float32(made.scale) + np.float32(made.shift))


def _sample_facts(sampling: Stage, wanted: Mapping[str, Stage]) -> dict[str, Any]:
    """What the sample stage says of itself: of a network, the weights that it loaded."""
    part: Any = sampling.spec
    trained = [wanted[each] for each in sampling.inputs if wanted[each].kind == "train"]
    return {"weights": sha256(_weights(trained[0], part.checkpoint))} if trained else {}


def _facts(
    samples: Mapping[str, Any],
    value: measure.Value,
    reference: ReferenceStatistics,
    sample: Mapping[str, Any],
    made: Made,
) -> dict[str, Any]:
    count = len(samples["images"])
    facts = {
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
            "set_digest": set_digest(image_names(samples["images"])),
        },
        "reference": {"digest": reference.digest, **reference.facts},
        "formula": {**value.settings, **value.outcome},
        "sample": sample,
    }
    return replaced(facts, made.facts)


def reference_statistics(made: Made) -> ReferenceStatistics:
    """Statistics of standard normal points, 4,096 unless it says otherwise."""
    count = made.reference_count
    points = np.random.default_rng(7).normal(size=(count, DIMENSIONS)).astype(np.float32)
    facts = {
        "dataset": "cifar10",
        "split": "test",
        "count": count,
        "images": {"count": count, "unique": count, "lossless": True},
        "extractor": EXTRACTOR,
        "resize": RESIZE,
        "probe": PROBE,
    }
    return ReferenceStatistics(
        moments=frechet.moments(points),
        features=points[: made.num_features],
        facts=replaced(facts, made.reference_facts),
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
