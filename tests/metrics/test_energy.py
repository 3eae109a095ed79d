"""The distance of two sets of points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.metrics.energy import energy_distance

SEEDS = st.integers(0, 2**31)


def normal(seed: int, num: int, *, dim: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num, dim))


def test_two_points_each_are_done_by_hand():
    """At 0, 2 against 1, 3 on a line: means 3/2, 2 and 2, so 3 - 4."""
    first, second = np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])

    assert energy_distance(first, second) == pytest.approx(2 * 1.5 - 2 - 2)


@given(SEEDS)
def test_it_is_symmetric_and_moves_with_nothing(seed):
    """The order of the sets, of their points, and a shift of both change nothing."""
    first, second = normal(seed, 20), normal(seed + 1, 30) + 1
    value = energy_distance(first, second)

    assert energy_distance(second, first) == pytest.approx(value)
    assert energy_distance(first[::-1] + 7, second + 7) == pytest.approx(value)


@given(SEEDS, st.floats(0.1, 10))
def test_it_has_the_unit_of_a_coordinate(seed, factor):
    """Twice as large is twice as far."""
    first, second = normal(seed, 20), normal(seed + 1, 30) + 1
    value = energy_distance(first, second)

    assert energy_distance(factor * first, factor * second) == pytest.approx(factor * value)


def test_one_law_is_at_no_distance_from_itself():
    """In the mean, because nothing counts a point as its own neighbour."""
    values = [
        energy_distance(normal(2 * seed, 40), normal(2 * seed + 1, 50)) for seed in range(200)
    ]

    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)


def test_many_rows_are_as_few():
    """More points than are taken at once give what all pairs at once give."""
    first, second = normal(0, 600), normal(1, 300) + 1
    pairs = np.linalg.norm(first[:, None] - second[None], axis=2).mean()
    own = [np.linalg.norm(each[:, None] - each[None], axis=2) for each in (first, second)]
    within = [each.sum() / (len(each) * (len(each) - 1)) for each in own]

    assert energy_distance(first, second) == pytest.approx(2 * pairs - sum(within))
