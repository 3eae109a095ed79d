"""The kernel distance against its definition, and its error against repeated draws."""

import numpy as np
import pytest

from repro.metrics import kid
from repro.metrics.influence import standard_error


def features(count: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal((count, 6)) + shift


def kernel(x: np.ndarray, y: np.ndarray) -> float:
    return float((x @ y / len(x) + 1.0) ** 3)


def test_equals_the_definition():
    """The U-statistic over all pairs, term by term (Binkowski et al. 2018, eq. 4)."""
    first, second = features(7, seed=0), features(9, seed=1, shift=0.3)
    within = [kernel(a, b) for i, a in enumerate(first) for j, b in enumerate(first) if i != j]
    real = [kernel(a, b) for i, a in enumerate(second) for j, b in enumerate(second) if i != j]
    across = [kernel(a, b) for a in first for b in second]

    found = kid.measure(first, second).value

    assert found == pytest.approx(np.mean(within) + np.mean(real) - 2 * np.mean(across), rel=1e-12)


def test_is_unbiased():
    """Equal distributions give zero on average, below it as often as above."""
    values = [
        kid.measure(features(60, seed=seed), features(60, seed=seed + 500)).value
        for seed in range(200)
    ]

    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


def test_order_of_images_does_not_matter():
    """Unlike the subset estimate, the value belongs to the sets."""
    first, second = features(50, seed=2), features(40, seed=3)

    shuffled = kid.measure(first[::-1].copy(), second[::-1].copy()).value

    assert shuffled == pytest.approx(kid.measure(first, second).value, rel=1e-9)


def test_is_symmetric():
    """It is a distance between two sets, not from one to the other."""
    first, second = features(50, seed=4), features(40, seed=5, shift=0.2)

    assert kid.measure(first, second).value == pytest.approx(kid.measure(second, first).value)


def test_block_size_does_not_matter(monkeypatch):
    """Rows are summed in blocks only to save memory."""
    first, second = features(50, seed=6), features(40, seed=7, shift=0.2)
    whole = kid.measure(first, second)

    monkeypatch.setattr(kid, "BLOCK", 7)

    blocks = kid.measure(first, second)
    assert blocks.value == pytest.approx(whole.value, rel=1e-12)
    assert np.allclose(blocks.influence, whole.influence)


def test_standard_error_is_that_of_repeated_draws():
    """With the reference fixed, the error is the spread over independent sets, to a quarter."""
    reference = features(300, seed=8)
    results = [
        kid.measure(features(100, seed=seed, shift=0.3), reference) for seed in range(100, 250)
    ]

    claimed = np.mean([standard_error(each.influence) for each in results])

    assert claimed == pytest.approx(np.std([each.value for each in results], ddof=1), rel=0.25)


def test_subset_estimate_of_everything_is_the_value():
    """One subset that holds every image is the all-pairs value."""
    first, second = features(30, seed=9), features(30, seed=10, shift=0.1)

    mean, spread = kid.subset_kid(first, second, subsets=1, subset_size=30)

    assert mean == pytest.approx(kid.measure(first, second).value)
    assert spread == 0.0
