"""Correlations with intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from repro.metrics.correlation import correlation

SERIES = arrays(float, (2, 8), elements=st.integers(-50, 50).map(float))


@given(SERIES)
def test_both_kinds_are_those_of_scipy(series):
    """Pearson's with its interval, and Spearman's with shared ranks."""
    x, y = series
    found = correlation(x, y)
    if found is None:
        assert np.ptp(x) == 0 or np.ptp(y) == 0
        return
    peer = stats.pearsonr(x, y)
    interval = peer.confidence_interval(0.95)

    ranked = correlation(x, y, ranks=True)

    assert found.value == pytest.approx(peer.statistic, abs=1e-9)
    assert found.low <= found.value <= found.high
    if abs(found.value) < 1 - 1 / 64:
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-6)
    assert ranked
    assert ranked.value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


def test_a_common_drift_is_taken_out():
    """Two series that drift together but oppose each other at every step."""
    step = np.repeat(np.arange(6), 4)
    wobble = np.tile([-1.0, 1.0, -2.0, 2.0], 6)
    x, y = step * 10 + wobble, step * 10 - wobble

    over_steps, among_equals = correlation(x, y), correlation(x, y, within=step.tolist())

    assert over_steps
    assert among_equals
    assert over_steps.low > 0.9
    assert among_equals.value == pytest.approx(-1)


@pytest.mark.parametrize(("num", "surely"), [(4, False), (5, True)])
def test_few_points_agree_by_chance(num: int, *, surely: bool):
    """Four points are in one order in 2 of 24 cases, five in 2 of 120."""
    found = correlation(range(num), range(num), ranks=True)

    assert found
    assert (found.value, found.high) == pytest.approx((1, 1))
    assert (found.low > 0) is surely


@pytest.mark.parametrize(
    ("x", "y", "within"),
    [
        ([1, 2, 3], [1, 2, 3], None),
        ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5], None),
        ([1, 2, 3, 5], [1, 2, 3, 4], [0, 0, 1, 1]),
    ],
    ids=["too few points", "a constant", "too few in groups"],
)
def test_where_there_is_none(x, y, within):
    """No number is made up where points do not allow one."""
    assert correlation(x, y, within=within) is None


def test_series_of_two_lengths():
    """A point needs both numbers."""
    with pytest.raises(ValueError, match=r"one length, got \(3,\), \(4,\)"):
        correlation([1, 2, 3], [1, 2, 3, 4])
