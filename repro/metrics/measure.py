"""Every metric from stored features and reference statistics.

The engine measures with these functions; the gate repeats them on the stored files.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from repro.metrics import frechet, isc, kid, prc
from repro.metrics.features import Features
from repro.metrics.influence import standard_error
from repro.metrics.reference import ReferenceStatistics


@frozen(kw_only=True, eq=False)
class Value:
    """One number with its error, the kind of that error, and how the formula went.

    `settings` choose the formula and belong to the protocol; `outcome` is what this set gave.
    `influence` [n] is None where a metric has none.
    """

    metric: str
    value: float
    se: float
    se_kind: str
    unit: str
    influence: NDArray[np.floating] | None
    settings: Mapping[str, Any]
    outcome: Mapping[str, Any]


def fid(features: Features, reference: ReferenceStatistics) -> tuple[Value, ...]:
    """Frechet inception distance."""
    factored = frechet.factor(reference.moments)
    result = frechet.measure(features.pool3, factored)
    return (
        Value(
            metric="fid",
            value=result.value,
            se=standard_error(result.influence),
            se_kind="influence",
            unit="squared feature distance",
            influence=result.influence,
            settings={"dtype": "float64", "ddof": 1, "route": f"{factored.route}-eigvalsh"},
            outcome={
                "rank": result.rank,
                "smallest_eigenvalue": result.smallest_eigenvalue,
                "extrapolated": result.extrapolated,
            },
        ),
    )


def kernel_distance(features: Features, reference: ReferenceStatistics) -> tuple[Value, ...]:
    """Kernel inception distance over all pairs."""
    result = kid.measure(features.pool3, reference.features)
    return (
        Value(
            metric="kid",
            value=result.value,
            se=standard_error(result.influence),
            se_kind="influence",
            unit="squared maximum mean discrepancy",
            influence=result.influence,
            settings={
                "dtype": "float64",
                "estimator": "u-statistic, all pairs",
                "kernel": "(x.y/D + 1)^3",
                "reference_count": len(reference.features),
            },
            outcome={},
        ),
    )


def precision_recall(
    features: Features, reference: ReferenceStatistics, *, neighbour: int = 3
) -> tuple[Value, ...]:
    """Improved precision and recall, two values."""
    result = prc.measure(features.pool3, reference.features, neighbour=neighbour)
    settings = {
        "dtype": "float64",
        "neighbour": neighbour,
        "reference_count": len(reference.features),
    }
    covered = result.covered - result.precision
    precision = Value(
        metric="precision",
        value=result.precision,
        se=standard_error(covered),
        se_kind="influence",
        unit="share of generated images",
        influence=covered,
        settings=settings,
        outcome={},
    )
    recall = Value(
        metric="recall",
        value=result.recall,
        se=standard_error(result.reached - result.recall),
        se_kind="binomial over reference images",
        unit="share of reference images",
        influence=None,
        settings=settings,
        outcome={},
    )
    return precision, recall


def inception_score(features: Features, *, splits: int = 10, seed: int = 2020) -> tuple[Value, ...]:
    """Inception score; the error is the deviation over splits that the literature prints.

    Raises:
        ValueError: if the features were made without the last layer.
    """
    if features.logits is None:
        msg = "an inception score needs the 1008-way layer, and these features have no logits"
        raise ValueError(msg)
    result = isc.measure(features.logits, splits=splits, seed=seed)
    return (
        Value(
            metric="isc",
            value=result.value,
            se=result.split_sd,
            se_kind="standard deviation over splits",
            unit="exp of nats",
            influence=None,
            settings={"dtype": "float64", "splits": splits, "shuffled": True, "seed": seed},
            outcome={},
        ),
    )


RECOMPUTE: Mapping[str, Callable[[Features, ReferenceStatistics, Mapping[str, Any]], float]] = {
    "fid": lambda features, reference, _: frechet.distance(
        frechet.moments(features.pool3), frechet.factor(reference.moments)
    ),
    "kid": lambda features, reference, _: kid.measure(features.pool3, reference.features).value,
    "precision": lambda features, reference, settings: (
        prc.measure(features.pool3, reference.features, neighbour=settings["neighbour"]).precision
    ),
    "recall": lambda features, reference, settings: (
        prc.measure(features.pool3, reference.features, neighbour=settings["neighbour"]).recall
    ),
    "isc": lambda features, _, settings: (
        inception_score(features, splits=settings["splits"], seed=settings["seed"])[0].value
    ),
}
"""From features, reference and the recorded formula facts to the value, by metric."""


def agrees(recorded: float, recomputed: float) -> bool:
    """Whether a recorded value is the recomputed one, to 1e-6 relative (1e-9 near zero)."""
    return math.isclose(recorded, recomputed, rel_tol=1e-6, abs_tol=1e-9)
