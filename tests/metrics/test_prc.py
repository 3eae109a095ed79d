"""Precision and recall on sets whose overlap is known."""

import numpy as np
import pytest

from repro.metrics import prc


def features(count: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal((count, 5)) + shift


def test_a_set_covers_itself():
    """Every image lies in its own ball."""
    points = features(40, seed=0)

    found = prc.measure(points, points)

    assert (found.precision, found.recall) == (1.0, 1.0)


def test_sets_far_apart_share_nothing():
    """No ball reaches across."""
    found = prc.measure(features(40, seed=1, shift=100.0), features(40, seed=2))

    assert (found.precision, found.recall) == (0.0, 0.0)


def test_a_collapsed_set_is_precise_and_recalls_little():
    """Copies of one real image have precision 1; their balls have no size, so they reach one."""
    real = features(50, seed=3)

    found = prc.measure(np.repeat(real[:1], 20, axis=0), real)

    assert (found.precision, found.recall) == (1.0, 1 / 50)


def test_equals_the_definition():
    """Distances and radii one by one (Kynkaanniemi et al. 2019, eq. 1 and 2)."""
    first, second = features(25, seed=4, shift=0.8), features(30, seed=5)

    def radius(point: np.ndarray, points: np.ndarray) -> float:
        return float(np.sort(np.linalg.norm(points - point, axis=1))[3])

    covered = [any(np.linalg.norm(x - y) <= radius(y, second) for y in second) for x in first]
    reached = [any(np.linalg.norm(y - x) <= radius(x, first) for x in first) for y in second]

    found = prc.measure(first, second, neighbour=3)

    assert found.covered.tolist() == covered
    assert found.reached.tolist() == reached


def test_block_size_does_not_matter(monkeypatch):
    """Rows are compared in blocks only to save memory."""
    first, second = features(50, seed=6, shift=0.5), features(40, seed=7)
    whole = prc.measure(first, second)

    monkeypatch.setattr(prc, "BLOCK", 7)

    blocks = prc.measure(first, second)
    assert blocks.covered.tolist() == whole.covered.tolist()
    assert blocks.reached.tolist() == whole.reached.tolist()


def test_too_few_images_have_no_such_neighbour():
    """The third neighbour needs four images."""
    with pytest.raises(ValueError, match="need more than 3 images a set, got 3"):
        prc.measure(features(3, seed=8), features(10, seed=9))
