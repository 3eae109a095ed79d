"""Measure a set of images against reference statistics, and write down everything that matters.

Validity is not decided here. The facts are recorded as they are found, deviations included, and the
gate judges them; only what cannot be a number at all is refused.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from repro.engine.evaluation.extractor import Backend, extract, open_extractor
from repro.engine.evaluation.images import Images, Quantisation, check_images, image_facts
from repro.engine.evaluation.references import known_deviation
from repro.engine.evaluation.weights import check_layers
from repro.engine.progress import Progress, Silent
from repro.errors import RunError
from repro.metrics import measure
from repro.metrics.features import Features
from repro.metrics.measure import Value
from repro.metrics.protocol import protocol_facts, protocol_id
from repro.metrics.reference import ReferenceStatistics
from repro.metrics.standard import PROBE_TOLERANCE
from repro.spec.evaluate import Extractor, Fid, InceptionV3Compat, Isc, Kid, Metric, Prc

SMALLEST_DISTANCE: Final = -1e-6
"""A distance below this is no rounding error."""


@frozen(kw_only=True, eq=False)
class Measured:
    """One number with all that was recorded about it; `protocol_id` names what is comparable."""

    metric: str
    value: float
    se: float | None
    se_kind: str
    unit: str
    num_samples: int
    influence: NDArray[np.floating] | None
    facts: Mapping[str, Any]
    protocol: Mapping[str, Any]
    protocol_id: str


@frozen(kw_only=True, eq=False)
class Evaluation:
    """The measurements of one set of images, and the features they came from."""

    measured: tuple[Measured, ...]
    features: Features


def evaluate(
    images: Images,
    *,
    extractor: Extractor,
    reference: ReferenceStatistics,
    metrics: Sequence[Metric],
    weights_path: Path | None,
    batch_size: int = 32,
    device: str = "cpu",
    backend: Backend | None = None,
    quantisation: Quantisation = "stored",
    progress: Progress | None = None,
) -> Evaluation:
    """Measure images [N, H, W, C] as they are stored.

    Raises:
        RunError: before any work, if an input or a needed layer is missing or images are too few;
            after it, if a value is not finite or no distance.
    """
    check_images(images)
    _check_counts(metrics, len(images), len(reference.features))
    if isinstance(extractor, InceptionV3Compat):
        kinds = [metric.kind for metric in metrics]
        check_layers(kinds, extractor.inception_weights, weights_path)
    opened = open_extractor(extractor, weights_path=weights_path, device=device, backend=backend)
    before = known_deviation(opened)
    features = extract(opened, images, batch_size=batch_size, progress=progress)
    facts = {
        "extractor": dict(opened.facts),
        "probe": {
            "before": before,
            "after": known_deviation(opened),
            "tolerance": PROBE_TOLERANCE,
        },
        "resize": opened.resize,
        "images": image_facts(images, quantisation=quantisation),
        "reference": {"digest": reference.digest, **reference.facts},
    }
    values: list[Value] = []
    with (progress or Silent()).track("metrics", len(metrics)) as advance:
        for metric in metrics:
            values += _FORMULAS[type(metric)](metric, features, reference)
            advance(1, metric.kind)
    return Evaluation(
        measured=tuple(_measured(value, len(images), facts) for value in values),
        features=features,
    )


_FORMULAS: Mapping[type, Callable[[Any, Features, ReferenceStatistics], tuple[Value, ...]]] = {
    Fid: lambda _, features, reference: measure.fid(features, reference),
    Kid: lambda _, features, reference: measure.kernel_distance(features, reference),
    Prc: lambda spec, features, reference: measure.precision_recall(
        features, reference, neighbour=spec.neighbour
    ),
    Isc: lambda spec, features, _: measure.inception_score(
        features, splits=spec.splits, seed=spec.seed
    ),
}


def _check_counts(metrics: Sequence[Metric], count: int, num_features: int) -> None:
    for metric in metrics:
        needed, found = _needed_and_found(metric, count, num_features)
        if found < needed:
            msg = f"metric {metric.kind!r} needs {needed} images on each side, got {found}"
            raise RunError(msg)


def _needed_and_found(metric: Metric, count: int, num_features: int) -> tuple[int, int]:
    match metric:
        case Fid():
            return 2, count
        case Kid():
            return 2, min(count, num_features)
        case Prc(neighbour=neighbour):
            return neighbour + 1, min(count, num_features)
        case Isc(splits=splits):
            return splits, count


def _measured(value: Value, count: int, facts: Mapping[str, Any]) -> Measured:
    if not math.isfinite(value.value) or not math.isfinite(value.se or 0.0):
        found = f"{value.value} +- {value.se}"
        msg = f"{value.metric}: expected a finite value and error, got {found}; check the features"
        raise RunError(msg)
    if value.metric == "fid" and value.value < SMALLEST_DISTANCE:
        msg = f"fid: {value.value} is negative, so it is no distance; the statistics are damaged"
        raise RunError(msg)
    recorded = {**facts, "formula": {**value.settings, **value.outcome}}
    protocol = protocol_facts(value.metric, num_samples=count, facts=recorded)
    return Measured(
        metric=value.metric,
        value=value.value,
        se=value.se,
        se_kind=value.se_kind,
        unit=value.unit,
        num_samples=count,
        influence=value.influence,
        facts=recorded,
        protocol=protocol,
        protocol_id=protocol_id(protocol),
    )
