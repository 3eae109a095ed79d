"""Reference statistics and evaluations: features, values, and everything that they rest on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from repro.engine import resources
from repro.engine.enlarge import enlarged
from repro.engine.evaluation import evaluate as evaluator
from repro.engine.evaluation.extractor import open_extractor
from repro.engine.evaluation.references import drawn, make_reference
from repro.engine.execution import Execution
from repro.engine.references import shipped_path
from repro.engine.stages.measured import keep_measured
from repro.engine.stages.prepare import load_images
from repro.ledger import store
from repro.ledger.records import Artifact
from repro.metrics.features import encode_features
from repro.metrics.influence import encode_influences
from repro.metrics.reference import encode_reference, read_reference
from repro.spec import Stage
from repro.spec.evaluate import (
    CompatAsTorchvision,
    DatasetReference,
    Extractor,
    FileReference,
    InceptionV3Compat,
    ShippedReference,
    TorchvisionInception,
)
from repro.spec.plan import Evaluation, Statistics

BATCH_SIZE = 8  # the fastest on two cores: larger ones spend their time on fresh memory


def reference(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Make the statistics, or take those of a file into the ledger; either way held to a digest."""
    part: Statistics = stage.spec
    match part.reference:
        case ShippedReference(name=name, digest=digest):
            return _taken(execution, stage, shipped_path(name), digest=digest)
        case FileReference(path=path, digest=digest):
            return _taken(execution, stage, Path(path), digest=digest)
        case DatasetReference():
            return _made(execution, stage, part.reference)


def evaluate(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Measure a set of images; keep the features and influence values beside the numbers."""
    part: Evaluation = stage.spec
    sampled = execution.only_input(stage, "sample")
    referred = execution.only_input(stage, "reference")
    result = evaluator.evaluate(
        load_file(execution.path_of(sampled, "samples"))["images"],
        extractor=part.extractor,
        reference=read_reference(execution.path_of(referred, "reference")),
        metrics=part.metrics,
        weights_path=weights_path(execution, part.extractor),
        batch_size=BATCH_SIZE,
        device=execution.device,
        quantisation=_quantisation(execution.artifact(sampled, "samples")),
        progress=execution.progress,
    )
    files = {
        "features": encode_features(result.features),
        "influence": encode_influences(
            {each.metric: each.influence for each in result.measured if each.influence is not None}
        ),
    }
    kept = {
        role: execution.keep(
            stage, store.put_bytes(execution.root, data), role=role, name=f"{role}.safetensors"
        )
        for role, data in files.items()
    }
    samples = execution.artifact(sampled, "samples")
    for each in result.measured:
        keep_measured(
            execution,
            stage,
            each,
            step=samples.facts.get("checkpoint_step"),
            num_samples=each.num_samples,
            protocol=each.protocol,
            rests_on={
                "samples": samples.sha256,
                "features": kept["features"].sha256,
                "influence": None if each.influence is None else kept["influence"].sha256,
                "reference": execution.artifact(referred, "reference").sha256,
                "pairing": samples.facts["pairing"],
            },
            facts={**each.facts, "sample": dict(samples.facts)},
        )
    return {each.metric: each.value for each in result.measured}


def _taken(execution: Execution, stage: Stage, path: Path, *, digest: str) -> Mapping[str, Any]:
    statistics = read_reference(path, digest=digest)
    execution.keep(
        stage,
        store.put_file(execution.root, path),
        role="reference",
        name=path.name,
        facts={"digest": statistics.digest},
    )
    return {"digest": statistics.digest, "count": statistics.moments.count}


def _made(execution: Execution, stage: Stage, spec: DatasetReference) -> Mapping[str, Any]:
    part: Statistics = stage.spec
    images = load_images(execution, spec.data).images
    chosen = slice(None) if spec.num_images is None else drawn(len(images), spec.num_images)
    extractor = part.extractor or InceptionV3Compat()
    statistics = make_reference(
        enlarged(images[chosen], spec.enlarge_to),
        extractor=open_extractor(
            extractor,
            weights_path=weights_path(execution, extractor),
            device=execution.device,
        ),
        dataset=spec.data.kind,
        split=getattr(spec.data, "split", "all"),
        num_features=spec.num_features,
        batch_size=BATCH_SIZE,
        progress=execution.progress,
    )
    execution.keep(
        stage,
        store.put_bytes(execution.root, encode_reference(statistics)),
        role="reference",
        name="reference.safetensors",
        facts={"digest": statistics.digest},
    )
    return {"digest": statistics.digest, "count": statistics.moments.count}


def weights_path(execution: Execution, extractor: Extractor) -> Path | None:
    """The cached standard weights, verified, or a file of the user's; pixels need none."""
    if isinstance(extractor, TorchvisionInception):
        return Path(extractor.path)
    if extractor not in (InceptionV3Compat(), CompatAsTorchvision()):
        return None
    return resources.fetch(
        "inception",
        cache=execution.cache,
        offline=execution.offline,
        notify=execution.progress.notify,
        track=execution.progress.track,
    )


def _quantisation(samples: Artifact) -> Any:
    return samples.facts["quantisation"]
