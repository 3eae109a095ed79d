"""Dynamic programming over a heatmap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from repro.engine.paths.cheapest import GAMMAS, cheapest, cheapest_levels, errors, snr_data
from repro.engine.paths.grid import Grid
from repro.errors import RunError
from repro.spec.path import Cheapest

SIGMAS = Grid(steps=30).of(30)
LN_SNR = np.log(snr_data(SIGMAS))
FLAT = np.ones((30, 30, 2))


def golden(gamma, **options):
    return cheapest(errors(FLAT, SIGMAS, gamma=gamma), LN_SNR, moves=18, max_jump=5, **options)


def test_ln_snr_spans_what_the_study_says():
    """From sigma 80 to 0.002, relative to data of deviation 0.5."""
    assert np.allclose([LN_SNR[0], LN_SNR[-1]], [-10.150, 11.043], atol=1e-3)


def test_gamma_b_alone_spans_fourteen_orders():
    """The factor depends on its own scale only: no network is needed to span them."""
    factor = GAMMAS["B"](snr_data(SIGMAS))

    assert np.allclose([factor.max(), factor.min()], [2.56e4, 2.56e-10], rtol=1e-2)
    assert np.isclose(np.log10(factor.max() / factor.min()), 14.0, atol=0.01)


def test_gamma_b_spends_its_moves_at_the_noisy_end():
    """Golden: 14 of 18 moves above sigma 2.93."""
    places, cost = golden("B")

    assert places == [(i, i) for i in (*range(15), 16, 19, 24, 29)]
    assert np.isclose(cost, 5.19e4, rtol=1e-2)


def test_gamma_c_spends_its_moves_in_the_middle():
    """Golden."""
    places, cost = golden("C")

    expected = (0, 5, 8, 10, *range(11, 18), 22, *range(23, 30))
    assert places == [(i, i) for i in expected]
    assert np.isclose(cost, 0.3469, rtol=1e-3)


def test_gamma_d_ties_decide_the_shape():
    """Golden: at the noisy end D has exact ties, and the rule for ties makes it L-shaped."""
    places, cost = golden("D")

    assert places[1:4] == [(0, 4), (0, 9), (4, 9)]
    assert np.isclose(cost, 4.431, rtol=1e-3)


def test_a_band_of_none_is_the_diagonal():
    """Scales that may not part go together."""
    places, _ = golden("D", band=0)

    assert all(i == j for i, j in places)


def test_no_way_is_an_error():
    """The study's script widened the band in silence."""
    with pytest.raises(RunError, match="no way over 30 levels in 18 moves of at most 1"):
        cheapest(FLAT, LN_SNR, moves=18, max_jump=1)


@given(arrays(np.float64, (5, 5, 2), elements=st.floats(0, 10)))
@settings(max_examples=50, deadline=None)
def test_nothing_is_cheaper(found):
    """No more costly than the diagonal, and than any way that is allowed less."""
    measure = np.arange(5.0)
    places, cost = cheapest(found, measure, moves=4, max_jump=2)
    diagonal, dearer = cheapest(found, measure, moves=4, max_jump=2, band=0)

    assert places[0] == (0, 0)
    assert places[-1] == (4, 4)
    assert cost <= dearer + 1e-9
    assert all(i == j for i, j in diagonal)


def test_levels_leave_out_the_first_node():
    """As many rows as steps; both columns end at the last level."""
    levels, _ = cheapest_levels(Cheapest(heatmap="h", gamma="B"), FLAT, SIGMAS, steps=18)

    assert levels.shape == (18, 2)
    assert levels[-1].tolist() == [SIGMAS[-1]] * 2
    assert levels[0, 0] == SIGMAS[1]


def test_one_axis_may_count_alone():
    """With the finest scale alone the coarse ones go where ties send them."""
    both, _ = cheapest_levels(Cheapest(heatmap="h"), FLAT, SIGMAS, steps=18)
    finest, _ = cheapest_levels(Cheapest(heatmap="h", counts="finest"), FLAT, SIGMAS, steps=18)

    assert np.array_equal(both[:, 0], finest[:, 0])
    assert not np.array_equal(both[:, 1], finest[:, 1])
