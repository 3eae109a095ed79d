"""Kernel inception distance (Binkowski et al. 2018): unbiased squared MMD, cubic kernel.

k(x, y) = (x.y / D + 1)^3. The value is the U-statistic over all pairs of both sets: no subsets, no
random numbers, no dependence on the order of images. `subset_kid` is the older estimate that
torch-fidelity and the literature print, here for known answers.
"""

from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Features = NDArray[np.floating]

BLOCK: Final = 1024
"""Rows of the kernel matrix in memory at a time; no value depends on it beyond rounding."""

DEGREE: Final = 3


@frozen(kw_only=True, eq=False)
class Kid:
    """The distance, and one influence value for each generated image."""

    value: float
    influence: Floats


def measure(generated: Features, reference: Features) -> Kid:
    """All-pairs distance between features [n, D] and [m, D], each of two rows or more.

    The influence of image i is twice its first-order (Hoeffding) projection: mean kernel to the
    other generated images less mean kernel to the reference, centred. The variance of those means
    carries the second-order term too, so the error is slightly conservative near zero.
    """
    first, second = generated.astype(np.float64), reference.astype(np.float64)
    within = (_row_sums(first, first) - _diagonal(first)) / (len(first) - 1)
    across = _row_sums(first, second) / len(second)
    real = _row_sums(second, second) - _diagonal(second)
    value = within.mean() - 2.0 * across.mean() + real.sum() / (len(second) * (len(second) - 1))
    psi = 2.0 * (within - across)
    return Kid(value=float(value), influence=psi - psi.mean())


def subset_kid(
    generated: Features,
    reference: Features,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 2020,
) -> tuple[float, float]:
    """Mean and spread over random subsets, drawn in torch-fidelity's order.

    The spread is that of overlapping subsets, not an error of the mean, and the mean depends on
    which set comes first. Use `measure`.
    """
    random = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        first = generated[random.choice(len(generated), subset_size, replace=False)]
        second = reference[random.choice(len(reference), subset_size, replace=False)]
        values.append(measure(first, second).value)
    return float(np.mean(values)), float(np.std(values))


def _row_sums(first: Floats, second: Floats) -> Floats:
    sums = [
        _kernel(first[start : start + BLOCK] @ second.T, first.shape[1]).sum(axis=1)
        for start in range(0, len(first), BLOCK)
    ]
    return np.concatenate(sums)


def _diagonal(points: Floats) -> Floats:
    return _kernel(np.einsum("nd,nd->n", points, points), points.shape[1])


def _kernel(products: Floats, size: int) -> Floats:
    return np.asarray((products / size + 1.0) ** DEGREE)
