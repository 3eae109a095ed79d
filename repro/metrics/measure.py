"""Every metric from stored features and reference statistics.

The engine measures with these functions; the gate repeats them on the stored files.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from repro.errors import IntegrityError
from repro.metrics import frechet, isc, kid, prc
from repro.metrics.features import Features
from repro.metrics.influence import standard_error
from repro.metrics.reference import ReferenceStatistics

NUM_FACTORED: Final = 2
"""Factored references kept in memory, of 67 MB each for 2,048 features."""

Z_TWO_SIDED: Final = 1.959964
"""A normal variable is further from its mean than so many deviations in 5 % of cases."""

RELATIVE: Final = 1e-6
ABSOLUTE: Final = 1e-9
"""How closely what is recorded must be what is recomputed."""

_FACTORED: Final[dict[str, frechet.Factored]] = {}


@frozen(kw_only=True, eq=False)
class Value:
    """One number with its error, the kind of that error, and how the formula went.

    `settings` choose the formula and belong to the protocol; `outcome` is what this set gave.
    `se` and `influence` [n] are None where a metric has none; without `se` a value is shown, but
    compared with nothing.
    """

    metric: str
    value: float
    se: float | None
    se_kind: str
    unit: str
    influence: NDArray[np.floating] | None
    settings: Mapping[str, Any]
    outcome: Mapping[str, Any]


def fid(features: Features, reference: ReferenceStatistics) -> tuple[Value, ...]:
    """Frechet inception distance."""
    factored = _factored(reference)
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
    """Improved precision and recall, two values.

    Each generated image is inside the real manifold or not, so precision has a binomial error.
    Recall has none that is known: every radius of the generated manifold depends on several
    images, and the binomial error over reference images, which leaves that out, is too small.
    """
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
        se=share_error(int(result.covered.sum()), len(result.covered)),
        se_kind="binomial",
        unit="share of generated images",
        influence=covered,
        settings=settings,
        outcome={},
    )
    recall = Value(
        metric="recall",
        value=result.recall,
        se=None,
        se_kind="unknown",
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


def share_error(successes: int, count: int) -> float:
    """The standard error of a share, also of none and of all.

    It is that of a share with z^2 / 2 successes and as many failures added (Agresti and Coull
    1998), which is not zero where nothing, or everything, succeeded.
    """
    added = Z_TWO_SIDED**2
    share = (successes + added / 2) / (count + added)
    return math.sqrt(share * (1.0 - share) / (count + added))


RECOMPUTE: Mapping[str, Callable[[Features, ReferenceStatistics, Mapping[str, Any]], Value]] = {
    "fid": lambda features, reference, _: fid(features, reference)[0],
    "kid": lambda features, reference, _: kernel_distance(features, reference)[0],
    "precision": lambda features, reference, settings: precision_recall(
        features, reference, neighbour=settings["neighbour"]
    )[0],
    "recall": lambda features, reference, settings: precision_recall(
        features, reference, neighbour=settings["neighbour"]
    )[1],
    "isc": lambda features, _, settings: inception_score(
        features, splits=settings["splits"], seed=settings["seed"]
    )[0],
}
"""From features, reference and the recorded formula facts to the whole value, by metric."""


def recompute(
    metric: str,
    features: Features,
    reference: ReferenceStatistics,
    *,
    formula: Mapping[str, Any],
) -> Value:
    """A value from what is stored, with all that belongs to it.

    Raises:
        IntegrityError: the metric is unknown, or the files or the recorded formula do not fit it.
    """
    try:
        return RECOMPUTE[metric](features, reference, formula)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{metric} cannot be computed from what is stored ({error!r}); evaluate again"
        raise IntegrityError(msg) from error


def agrees(recorded: object, recomputed: float | None, *, scale: float = 0.0) -> bool:
    """Whether a recorded number is the recomputed one, to 1e-6 relative (1e-9 near zero).

    *scale* is the size of what the number was computed from, where that is larger than itself.
    """
    if recomputed is None or not isinstance(recorded, int | float):
        return recorded is recomputed
    allowed = max(ABSOLUTE, RELATIVE * scale)
    return math.isclose(recorded, recomputed, rel_tol=RELATIVE, abs_tol=allowed)


def influence_agrees(
    recorded: NDArray[np.floating] | None, recomputed: NDArray[np.floating] | None
) -> bool:
    """Whether influence values [n] are the recomputed ones, as closely as `agrees`."""
    if recorded is None or recomputed is None:
        return recorded is recomputed
    if recorded.shape != recomputed.shape:
        return False
    allowed = ABSOLUTE + RELATIVE * float(np.abs(recomputed).max(initial=0.0))
    return bool((np.abs(recorded - recomputed) <= allowed).all())


def _factored(reference: ReferenceStatistics) -> frechet.Factored:
    """The factored covariance; that of the last references is kept, because it takes a second."""
    digest = reference.digest
    if digest not in _FACTORED:
        factored = frechet.factor(reference.moments)
        while len(_FACTORED) >= NUM_FACTORED:
            del _FACTORED[next(iter(_FACTORED))]
        _FACTORED[digest] = factored
    return _FACTORED[digest]
