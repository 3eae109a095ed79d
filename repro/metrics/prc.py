"""Improved precision and recall (Kynkaanniemi et al. 2019, eq. 1 and 2), in a named feature space.

A set's manifold is the union of balls around its points that reach to the k-th nearest neighbour of
each. Precision: the share of generated images inside the real manifold. Recall: the share of real
images inside the generated one. Both depend on both counts, which the facts therefore carry.
"""

from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Features = NDArray[np.floating]

BLOCK: Final = 1024
"""Rows of the distance matrix in memory at a time; no value depends on it."""


@frozen(kw_only=True, eq=False)
class PrecisionRecall:
    """Which generated images [n] the real set covers, and which real ones [m] are reached."""

    covered: NDArray[np.bool_]
    reached: NDArray[np.bool_]

    @property
    def precision(self) -> float:
        return float(self.covered.mean())

    @property
    def recall(self) -> float:
        return float(self.reached.mean())


def measure(generated: Features, reference: Features, *, neighbour: int = 3) -> PrecisionRecall:
    """Precision and recall between features [n, D] and [m, D].

    Raises:
        ValueError: if a set has no *neighbour*-th neighbour.
    """
    smallest = min(len(generated), len(reference))
    if smallest <= neighbour:
        msg = (
            f"precision and recall at neighbour {neighbour} need more than {neighbour} images "
            f"a set, got {smallest}"
        )
        raise ValueError(msg)
    first, second = generated.astype(np.float64), reference.astype(np.float64)
    return PrecisionRecall(
        covered=_inside(first, second, _radii(second, neighbour)),
        reached=_inside(second, first, _radii(first, neighbour)),
    )


def _radii(points: Floats, neighbour: int) -> Floats:
    """Squared distance of each point to its *neighbour*-th nearest other point."""
    radii = np.empty(len(points))
    for start in range(0, len(points), BLOCK):
        squared = _squared_distances(points[start : start + BLOCK], points)
        rows = np.arange(len(squared))
        squared[rows, start + rows] = -1.0  # itself comes first, whatever the rounding
        radii[start : start + BLOCK] = np.partition(squared, neighbour, axis=1)[:, neighbour]
    return radii


def _inside(points: Floats, centres: Floats, radii: Floats) -> NDArray[np.bool_]:
    blocks = [
        (_squared_distances(points[start : start + BLOCK], centres) <= radii).any(axis=1)
        for start in range(0, len(points), BLOCK)
    ]
    return np.concatenate(blocks)


def _squared_distances(first: Floats, second: Floats) -> Floats:
    norms = np.einsum("nd,nd->n", first, first)[:, None] + np.einsum("nd,nd->n", second, second)
    return np.asarray((norms - 2.0 * first @ second.T).clip(min=0.0))
