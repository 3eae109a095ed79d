"""Whether two series of numbers go together, with an interval.

Two quantities that both drift with training are correlated whatever else they have to do with each
other. `within` takes the mean of each group out first (of each training step, say), so that what
is left is whether they go together among equals.
"""

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

RANK_FACTOR = 1.06  # of the variance of Fisher's z of a rank correlation (Fieller et al. 1957)
LEAST_FREEDOM = 1


@frozen(kw_only=True)
class Correlation:
    """`value` in [-1, 1], an interval of 95 % by default, and the number of points."""

    value: float
    low: float
    high: float
    num_points: int


def correlation(
    x: Sequence[float],
    y: Sequence[float],
    *,
    ranks: bool = False,
    within: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Correlation | None:
    """Pearson's correlation of *x* and *y* [n], or Spearman's of their *ranks*.

    The interval is Fisher's, z = artanh r with a standard error of 1 / sqrt(n - 3); with *within*,
    a label for each point, the number of groups less one is taken off n. A perfect correlation is
    taken as 1 - 1/n^2 there, because few points agree by chance. None where there is none: too few
    points, or a series that does not vary.

    Raises:
        ValueError: when the series are not equally long, or hold what is no number.
    """
    first, second = (np.asarray(each, float) for each in (x, y))
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"expected two series of one length, got {first.shape}, {second.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("expected finite numbers")
    if ranks:
        first, second = _ranks(first), _ranks(second)
    lost = 0
    if within is not None:
        first, second = _centred(first, within), _centred(second, within)
        lost = len(set(within)) - 1
    freedom = len(first) - 3 - lost
    value = _pearson(first, second)
    if value is None or freedom < LEAST_FREEDOM:
        return None
    most = 1 - 1 / len(first) ** 2
    z = math.atanh(min(most, max(-most, value)))
    reach = NormalDist().inv_cdf((1 + level) / 2)
    reach *= math.sqrt((RANK_FACTOR if ranks else 1.0) / freedom)
    return Correlation(
        value=value,
        low=min(value, math.tanh(z - reach)),
        high=max(value, math.tanh(z + reach)),
        num_points=len(first),
    )


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x)) * math.sqrt(float(y @ y))
    return None if scale == 0 else min(1.0, max(-1.0, float(x @ y) / scale))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    shared: NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return shared


def _centred(values: NDArray[np.float64], groups: Sequence[Hashable]) -> NDArray[np.float64]:
    if len(groups) != len(values):
        raise ValueError(f"expected a group for each of {len(values)} points, got {len(groups)}")
    centred = values.copy()
    for group in set(groups):
        members = [each == group for each in groups]
        centred[members] -= values[members].mean()
    return centred
