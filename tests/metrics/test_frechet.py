"""The Frechet distance against textbook formulas, closed forms and its own error estimate."""

import numpy as np
import pytest
import scipy.linalg

from repro.metrics import frechet
from repro.metrics.influence import standard_error


def features(count: int, size: int = 24, *, seed: int = 0, spread: float = 1.0) -> np.ndarray:
    random = np.random.RandomState(seed)
    mixing = np.random.RandomState(99).standard_normal((size, size)) / np.sqrt(size)
    return np.asarray(random.standard_normal((count, size)) @ mixing * spread + 0.1 * spread)


def textbook(first: np.ndarray, second: np.ndarray) -> float:
    """Heusel et al. 2017, eq. 6, with a matrix square root."""
    covariances = [np.cov(each, rowvar=False) for each in (first, second)]
    shift = first.mean(axis=0) - second.mean(axis=0)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return float(shift @ shift + np.trace(covariances[0] + covariances[1] - 2 * root))


def factored(points: np.ndarray) -> frechet.Factored:
    return frechet.factor(frechet.moments(points))


def test_equals_the_textbook_formula():
    """The value is that of the matrix square root, to 1e-8."""
    first, second = features(300, seed=1, spread=1.2), features(400, seed=2)

    found = frechet.distance(frechet.moments(first), factored(second))

    assert found == pytest.approx(textbook(first, second), rel=1e-8)


def test_isotropic_gaussians_have_a_closed_form():
    """Covariances a^2 I and b^2 I at distance s are D (a - b)^2 + s^2 apart."""
    size = 6
    first = frechet.Moments(count=100, mean=np.full(size, 2.0), covariance=9.0 * np.eye(size))
    second = frechet.Moments(count=100, mean=np.zeros(size), covariance=4.0 * np.eye(size))

    found = frechet.distance(first, frechet.factor(second))

    assert found == pytest.approx(size * 1.0 + size * 4.0, rel=1e-12)


def test_the_distance_back_is_the_same():
    """Either set may be the reference, although only that one is factored."""
    first, second = features(300, seed=1, spread=1.2), features(400, seed=2)

    there = frechet.distance(frechet.moments(first), factored(second))
    back = frechet.distance(frechet.moments(second), factored(first))

    assert there == pytest.approx(back, rel=1e-9)


@pytest.mark.parametrize("count", [300, 12])
def test_a_set_has_no_distance_to_itself(count):
    """Zero within 1e-9 at full rank; within rounding's square root where the set is singular."""
    points = features(count)

    found = frechet.distance(frechet.moments(points), factored(points))

    assert abs(found) < (1e-9 if count > 24 else 1e-6)


@pytest.mark.parametrize(("count", "route"), [(300, "cholesky"), (24, "eigh"), (5, "eigh")])
def test_a_singular_reference_is_factored_by_eigenvectors(count, route):
    """Cholesky needs more images than dimensions; both factors give the covariance back."""
    points = features(count)

    found = factored(points)

    assert found.route == route
    assert np.allclose(found.factor @ found.factor.T, np.cov(points, rowvar=False), atol=1e-10)


def test_linearly_dependent_features_fall_back_to_eigenvectors():
    """A feature that is minus the sum of others cannot break the factorisation."""
    covariance = np.diag([1.0, 1.0, -1e-9])
    moments = frechet.Moments(count=100, mean=np.zeros(3), covariance=covariance)

    assert frechet.factor(moments).route == "eigh"


@pytest.mark.parametrize("count", [300, 24, 5])
def test_features_and_moments_give_one_value(count):
    """The engine's route over features and the gate's over moments agree, singular or not."""
    points, reference = features(count, seed=3, spread=1.1), factored(features(200))

    from_moments = frechet.distance(frechet.moments(points), reference)

    assert frechet.measure(points, reference).value == pytest.approx(from_moments, rel=1e-6)


def test_singular_set_needs_no_special_case():
    """With fewer images than dimensions the value is that of the symmetric square root."""
    points, reference = features(10, seed=4), features(300)
    root = scipy.linalg.sqrtm(np.cov(reference, rowvar=False)).real
    values = np.linalg.eigvalsh(root @ np.cov(points, rowvar=False) @ root).clip(min=0)
    shift = points.mean(axis=0) - reference.mean(axis=0)
    traces = np.trace(np.cov(points, rowvar=False)) + np.trace(np.cov(reference, rowvar=False))

    found = frechet.measure(points, factored(reference))

    assert found.value == pytest.approx(
        shift @ shift + traces - 2 * np.sqrt(values).sum(), rel=1e-6
    )
    assert found.rank == 9


def test_order_of_images_does_not_matter():
    """The value belongs to the set."""
    points, reference = features(200, seed=5), factored(features(200))

    shuffled = frechet.measure(points[::-1].copy(), reference)

    assert shuffled.value == pytest.approx(frechet.measure(points, reference).value, rel=1e-12)


def test_moments_are_computed_in_float64():
    """A float32 mean of large features would lose the digits that FID is about."""
    points = (features(5000, size=2) + 1e4).astype(np.float32)

    found = frechet.moments(points)

    assert np.allclose(found.mean, points.astype(np.float64).mean(axis=0), rtol=1e-14)
    assert np.allclose(found.covariance, np.cov(points.astype(np.float64), rowvar=False))


@pytest.mark.parametrize(("count", "size"), [(300, 24), (60, 80)])
def test_influence_is_the_derivative(count, size):
    """psi_i is how fast the distance moves when image i gains weight (centred), by differences."""
    points = features(count, size, seed=6, spread=1.3)
    reference = factored(features(300, size))
    step = 1e-4

    def moved(index: int, weight: float) -> float:
        shares = np.full(count, (1 - weight) / count)
        shares[index] += weight
        mean = shares @ points
        centred = points - mean
        covariance = (centred * shares[:, None]).T @ centred * count / (count - 1)
        return frechet.distance(
            frechet.Moments(count=count, mean=mean, covariance=covariance), reference
        )

    slopes = [(moved(i, step) - moved(i, -step)) / (2 * step) for i in range(8)]
    found = frechet.measure(points, reference).influence[:8]

    scale = np.abs(found).max()
    assert np.allclose(found - found.mean(), np.array(slopes) - np.mean(slopes), atol=0.03 * scale)


def test_standard_error_is_that_of_repeated_draws():
    """The error from one set of images is the spread over 120 independent sets, to a quarter."""
    reference = factored(features(4000, size=8))
    results = [
        frechet.measure(features(400, size=8, seed=seed, spread=1.5), reference)
        for seed in range(100, 220)
    ]

    claimed = np.mean([standard_error(each.influence) for each in results])

    assert claimed == pytest.approx(np.std([each.value for each in results], ddof=1), rel=0.25)


def test_extrapolation_removes_the_bias():
    """Equal distributions have a limit of zero; few images show a distance that is only bias."""
    reference = factored(features(20000, seed=7))

    results = [frechet.measure(features(300, seed=seed), reference) for seed in range(8, 14)]

    bias = np.mean([each.value for each in results])
    assert bias > 0.3
    assert abs(np.mean([each.extrapolated for each in results])) < bias / 3


def test_two_images_are_a_set():
    """The smallest set has a value; its extrapolation is the value itself."""
    found = frechet.measure(features(2), factored(features(100)))

    assert found.extrapolated == pytest.approx(found.value)
    assert found.rank == 1
