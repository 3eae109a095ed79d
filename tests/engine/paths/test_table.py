"""Every path as a table of levels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.engine.paths.grid import Grid
from repro.engine.paths.table import last_visited, table
from repro.errors import RunError
from repro.spec.path import (
    Arctan,
    Cheapest,
    CoarseToFine,
    Lead,
    LeadEach,
    MatchedLead,
    MultiOffset,
    Ratio,
    Sync,
    Tabulated,
    Truncated,
)

GRID = Grid(steps=18)
KARRAS = [80, 57.586, 40.786, 28.375, 19.353, 12.910, 8.4009, 5.3152, 3.2568]
KARRAS += [1.9233, 1.0882, 0.58526, 0.29644, 0.13951, 0.05990, 0.02290, 0.00755, 0.002]
LAST_OF_LEADS = {1: 0.00704, 2: 0.0184, 3: 0.0395, 4: 0.0740, 5: 0.1251, 6: 0.1956}
LAST_OF_LEADS |= {7: 0.2877, 8: 0.4032, 10: 0.707, 12: 1.111}


def of(path, *, grid=GRID, num_scales=3):
    return table(path, grid, num_scales=num_scales)


def test_rho_is_that_of_karras():
    """Golden: 18 levels at the paper's constants."""
    assert np.allclose(of(Sync())[:, 0], KARRAS, rtol=4e-3)
    assert of(Sync())[0, 0] == pytest.approx(80, rel=1e-14)
    assert of(Sync())[-1, 0] == pytest.approx(0.002, rel=1e-12)


@pytest.mark.parametrize(
    "path", [Lead(ahead=0), Truncated(ahead=0), MatchedLead(ahead=0), Ratio(ratio=1.0)]
)
def test_nothing_ahead_is_sync_in_every_bit(path):
    """Five names of one path."""
    assert np.array_equal(of(path), of(Sync()))


@pytest.mark.parametrize(("ahead", "last"), LAST_OF_LEADS.items())
def test_a_lead_cuts_the_finest_scale_off(ahead, last):
    """Golden: where the finest scale ends; the coarse ones end at `sigma_min`."""
    finest, *coarse = last_visited(of(Lead(ahead=ahead)))

    assert finest == pytest.approx(last, rel=5e-3)
    assert coarse == pytest.approx([0.002, 0.002])


def test_a_lead_starts_lower():
    """Golden: the first level of the coarse scales."""
    assert of(Lead(ahead=5))[0, 1] == pytest.approx(20.41, rel=1e-3)
    assert of(Lead(ahead=8))[0, 1] == pytest.approx(10.72, rel=1e-3)


def test_truncation_is_the_finest_scale_of_a_lead():
    """The control does to every scale what leading does to the finest, and nothing else."""
    led, cut = of(Lead(ahead=5)), of(Truncated(ahead=5))

    assert np.array_equal(cut[:, 0], led[:, 0])
    assert np.array_equal(cut[:, 2], led[:, 0])


def test_a_matched_lead_ends_where_sync_does():
    """Leading alone: the finest scale as ever, coarse ones ahead, and waiting at the end."""
    matched, sync = of(MatchedLead(ahead=5)), of(Sync())

    assert np.array_equal(matched[:, 0], sync[:, 0])
    assert np.array_equal(matched[:13, 1], sync[5:, 0])
    assert set(matched[13:, 1]) == {sync[-1, 0]}


def test_leads_of_each_scale_may_differ():
    """With equal entries it is a lead of all."""
    assert np.array_equal(of(LeadEach(ahead=(5, 5))), of(Lead(ahead=5)))
    assert np.array_equal(of(LeadEach(ahead=(2, 5)))[:, 2], of(Lead(ahead=5))[:, 2])
    with pytest.raises(RunError, match="expected 2 entries in `ahead`, one a coarse scale, got 1"):
        of(LeadEach(ahead=(5,)))


def test_a_ratio_waits_at_the_end():
    """Twice as fast is there after half the way."""
    levels = of(Ratio(ratio=2.0))

    assert levels[9:, 1] == pytest.approx([0.002] * 9)
    assert np.array_equal(levels[:, 0], of(Sync())[:, 0])


def test_coarse_to_fine_moves_one_scale_at_a_time():
    """Golden: six steps each."""
    levels = of(CoarseToFine())

    assert (levels[:12, 0] == 80).all()
    assert (levels[:6, 1] == 80).all()
    assert (levels[12:, 1] == 0.002).all()
    assert (levels[6:, 2] == 0.002).all()
    assert np.array_equal(levels[12:, 0], GRID.of(6))
    with pytest.raises(RunError, match="expected three scales, got 2"):
        of(CoarseToFine(), num_scales=2)


def test_scales_may_start_late():
    """Golden: six and two of 18 steps."""
    levels = of(MultiOffset())

    assert [int((levels[:, scale] == 80).sum()) for scale in range(2)] == [7, 3]
    assert np.array_equal(levels[:, 2], GRID.of(18))
    assert np.array_equal(levels[6:, 0], GRID.of(12))


def test_arctan_is_even_in_the_angle():
    """Without a measured error; the ends are those of every path."""
    levels = of(Arctan(scale=0.5))[:, 0]
    angles = np.arctan(levels / 0.5)

    assert np.allclose(np.diff(angles), np.diff(angles)[0])
    assert (levels[0], levels[-1]) == (80, 0.002)


def test_levels_may_be_given():
    """A path that somebody else has found."""
    sigmas = ((80.0, 20.0), (1.0, 0.5))

    assert of(Tabulated(sigmas=sigmas), grid=Grid(steps=2), num_scales=2).tolist() == [
        [80, 20],
        [1, 0.5],
    ]


@pytest.mark.parametrize(
    ("sigmas", "why"),
    [
        (((1.0, 1.0),), "expected 2 steps of 2 scales, got 1 x 2"),
        (((1.0, 1.0), (2.0, 1.0)), "never rise"),
    ],
)
def test_what_is_no_path_is_refused(sigmas, why):
    """Of another size, or back to more noise."""
    with pytest.raises(RunError, match=why):
        of(Tabulated(sigmas=sigmas), grid=Grid(steps=2), num_scales=2)


def test_a_path_over_a_heatmap_waits_for_it():
    """Its levels are a result."""
    with pytest.raises(RunError, match="not known before its heatmap is measured"):
        of(Cheapest(heatmap="heatmap"))


PATHS = (
    st.just(Sync())
    | st.builds(Lead, ahead=st.integers(0, 30))
    | st.builds(Truncated, ahead=st.integers(0, 30))
    | st.builds(MatchedLead, ahead=st.integers(0, 30))
    | st.builds(LeadEach, ahead=st.tuples(st.integers(0, 30), st.integers(0, 30)))
    | st.builds(Ratio, ratio=st.floats(1, 9))
    | st.just(CoarseToFine())
    | st.just(MultiOffset())
    | st.builds(Arctan, scale=st.floats(0.1, 9))
)


@given(PATHS, st.integers(2, 40))
def test_a_path_never_goes_back(path, steps):
    """Whatever the path: a row a step, a column a scale, no level below the end or rising."""
    levels = of(path, grid=Grid(steps=steps))

    assert levels.shape == (steps, 3)
    assert (np.diff(levels, axis=0) <= 0).all()
    assert levels.min() >= 0.002 * (1 - 1e-9)
    assert levels.max() <= 80 * (1 + 1e-9)
