"""How far two sets of points are apart, in their own space."""

import numpy as np
from numpy.typing import NDArray


def energy_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The energy distance of two samples [N, D] and [M, D] (Szekely & Rizzo 2013, eq. 6.1).

    2 E|x - y| - E|x - x'| - E|y - y'|, the last two over distinct points: without bias, so two
    samples of one law give 0 in the mean, and at times less. Its unit is that of a coordinate.
    """
    return 2 * _mean(first, second) - _within(first) - _within(second)


def _within(points: NDArray[np.float64]) -> float:
    num = len(points)
    return _mean(points, points) * num / (num - 1)


def _mean(first: NDArray[np.float64], second: NDArray[np.float64], *, rows: int = 256) -> float:
    """The mean Euclidean distance of all pairs, some rows at a time."""
    total = 0.0
    for start in range(0, len(first), rows):
        apart = first[start : start + rows, None] - second[None]
        total += float(np.sqrt(np.square(apart).sum(axis=2)).sum())
    return total / (len(first) * len(second))
