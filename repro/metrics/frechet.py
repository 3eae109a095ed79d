"""Frechet distance between Gaussians fitted to features (Heusel et al. 2017, eq. 6).

Everything is float64. The reference covariance is factored once, S_r = L L^T; then the distance to
a generated set (mu, S) needs only the eigenvalues of the symmetric L^T S L:

    d = |mu - m|^2 + tr S + tr S_r - 2 sum sqrt(eig(L^T S L))

There is no matrix square root, no imaginary part, and a singular S (fewer images than dimensions)
is no special case.
"""

from typing import Final, Literal

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Floats = NDArray[np.float64]

JITTER: Final = 1e-12
"""Added to the diagonal before the Cholesky factorisation; moves an FID by about 1e-9."""

CUT: Final = 1e-12
"""Eigenvalues below this share of the largest count as zero in a pseudo-inverse."""

NUM_POINTS: Final = 6
SUBSET_SEED: Final = 2020


@frozen(kw_only=True, eq=False)
class Moments:
    """Mean [D] and covariance [D, D] (ddof 1) of `count` feature vectors."""

    count: int
    mean: Floats
    covariance: Floats


@frozen(kw_only=True, eq=False)
class Factored:
    """Reference moments with a factor L of the covariance, L L^T = S_r, and how it was made."""

    moments: Moments
    factor: Floats
    route: Literal["cholesky", "eigh"]


@frozen(kw_only=True, eq=False)
class Frechet:
    """A distance with what is needed to judge it.

    `influence` [n] holds one value an image (see `influence.standard_error`); `extrapolated` is the
    distance for infinitely many images by a straight line in 1/n.
    """

    value: float
    influence: Floats
    extrapolated: float
    rank: int
    smallest_eigenvalue: float


def moments(features: NDArray[np.floating]) -> Moments:
    """Mean and covariance of features [n, D], n at least 2."""
    points = features.astype(np.float64)
    mean = points.mean(axis=0)
    points -= mean
    return Moments(count=len(points), mean=mean, covariance=points.T @ points / (len(points) - 1))


def factor(reference: Moments) -> Factored:
    """Factor the reference covariance: Cholesky, or by eigenvectors where it is singular."""
    covariance, size = reference.covariance, len(reference.mean)
    if reference.count > size:
        try:
            lower = np.linalg.cholesky(covariance + JITTER * np.eye(size))
        except np.linalg.LinAlgError:  # features that are linearly dependent
            pass
        else:
            return Factored(
                moments=reference, factor=np.asarray(lower, np.float64), route="cholesky"
            )
    values, vectors = np.linalg.eigh(covariance)
    root = np.asarray(vectors * np.sqrt(values.clip(min=0.0)), np.float64)
    return Factored(moments=reference, factor=root, route="eigh")


def distance(generated: Moments, reference: Factored) -> float:
    """The distance from moments alone."""
    inner = reference.factor.T @ generated.covariance @ reference.factor
    spread = _root_sum(np.linalg.eigvalsh(inner))
    return _combine(generated.mean, float(np.trace(generated.covariance)), spread, reference)


def measure(features: NDArray[np.floating], reference: Factored) -> Frechet:
    """The distance from features [n, D], with its influence values and its extrapolation."""
    points = features.astype(np.float64)
    projected = (points - reference.moments.mean) @ reference.factor
    mean = points.mean(axis=0)
    values, quadratic = _spectrum(projected - projected.mean(axis=0))
    value = _combine(mean, _trace(points), _root_sum(values), reference)
    rank = min(len(points) - 1, points.shape[1])
    return Frechet(
        value=value,
        influence=_influence(points, mean, quadratic, reference),
        extrapolated=_extrapolate(value, points, projected, reference),
        rank=rank,
        smallest_eigenvalue=float(values[-rank]),
    )


def _influence(points: Floats, mean: Floats, quadratic: Floats, reference: Factored) -> Floats:
    """What each image adds to the distance, to first order, with the reference held fixed.

    psi_i = 2 (mu - m).(x_i - mu) + (x_i - mu)^T (I - A) (x_i - mu), centred, where
    A = L (L^T S L)^(-1/2) L^T (Rippl, Munk and Sturm, arXiv 1507.04090).
    """
    centred = points - mean
    linear = 2.0 * centred @ (mean - reference.moments.mean)
    psi = linear + np.einsum("nd,nd->n", centred, centred) - quadratic
    return np.asarray(psi - psi.mean())


def _spectrum(centred: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues of L^T S L in rising order, and (x_i - mu)^T A (x_i - mu) for each image.

    *centred* holds the rows L^T (x_i - mu). The smaller of its two Gram matrices is decomposed;
    both have the same eigenvalues other than zero.
    """
    count, size = centred.shape
    if count > size:
        values, vectors = np.linalg.eigh(centred.T @ centred / (count - 1))
        squares = (centred @ vectors) ** 2
    else:
        values, vectors = np.linalg.eigh(centred @ centred.T / (count - 1))
        squares = vectors**2 * ((count - 1) * values.clip(min=0.0))
    kept = values > CUT * values[-1]
    return values, squares[:, kept] @ (1.0 / np.sqrt(values[kept]))


def _extrapolate(value: float, points: Floats, projected: Floats, reference: Factored) -> float:
    """Intercept of a straight line in 1/N through distances of subsets of n/2 to n images.

    The bias of the distance is proportional to 1/N (Chong and Forsyth, arXiv 1911.07023).
    """
    random = np.random.RandomState(SUBSET_SEED)  # its stream is frozen by numpy
    sizes = np.unique(np.linspace(max(2, len(points) // 2), len(points), NUM_POINTS).astype(int))
    values = [
        _subset_distance(points, projected, random.permutation(len(points))[:size], reference)
        for size in sizes[:-1]
    ]
    values.append(value)
    if len(sizes) == 1:
        return value
    design = np.stack([np.ones(len(sizes)), 1.0 / sizes], axis=1)
    return float(np.linalg.lstsq(design, np.array(values), rcond=None)[0][0])


def _subset_distance(
    points: Floats, projected: Floats, chosen: NDArray[np.int64], reference: Factored
) -> float:
    rows = projected[chosen]
    rows = rows - rows.mean(axis=0)
    gram = rows.T @ rows if rows.shape[0] > rows.shape[1] else rows @ rows.T
    spread = _root_sum(np.linalg.eigvalsh(gram / (len(rows) - 1)))
    subset = points[chosen]
    return _combine(subset.mean(axis=0), _trace(subset), spread, reference)


def _combine(mean: Floats, trace: float, spread: float, reference: Factored) -> float:
    shift = mean - reference.moments.mean
    # The trace of what was factored, jitter included: then a set has distance zero to itself.
    reference_trace = float(np.einsum("ij,ij->", reference.factor, reference.factor))
    return float(shift @ shift) + trace + reference_trace - 2.0 * spread


def _trace(points: Floats) -> float:
    return float(points.var(axis=0, ddof=1).sum())


def _root_sum(eigenvalues: NDArray[np.floating]) -> float:
    return float(np.sqrt(eigenvalues.clip(min=0.0)).sum())
