"""Learning rates are counted in updates."""

import pytest

from repro.engine.lr import learning_rate
from repro.spec.train import ConstantLr, CosineLr, ImageRampLr, LrSchedule, Train


def rates(schedule: LrSchedule, *, accumulate: int = 1) -> list[float]:
    spec = Train(steps=6, seed=0, lr=2.0, lr_schedule=schedule, accumulate=accumulate)
    return [learning_rate(spec, step=step) for step in range(spec.steps)]


def test_constant():
    """Without warm-up the rate is the peak throughout."""
    assert rates(ConstantLr()) == [2.0] * 6


def test_warm_up_reaches_the_peak_with_its_last_update():
    """Four updates of warm-up rise in quarters; none is wasted on a rate of zero."""
    assert rates(ConstantLr(warmup_steps=4)) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_cosine_ends_with_the_last_update():
    """Half a cosine passes its middle half-way and ends on its final ratio."""
    got = rates(CosineLr(warmup_steps=2, final_ratio=0.1))

    assert got == pytest.approx([1.0, 2.0, 1.7364, 1.1, 0.4636, 0.2], abs=1e-4)


def test_cosine_that_is_all_warm_up():
    """A warm-up as long as the training leaves no room for the cosine."""
    assert rates(CosineLr(warmup_steps=6))[-1] == 2.0


def test_accumulation_does_not_stretch_the_schedule():
    """The horizon is in updates, not in micro-batches."""
    assert rates(CosineLr(), accumulate=4) == rates(CosineLr())


def test_a_ramp_over_images_starts_at_nothing():
    """The first update has seen no images; after the ramp the rate stays."""
    spec = Train(steps=9, seed=0, lr=2.0, lr_schedule=ImageRampLr(images=100))

    assert [learning_rate(spec, step=step, num_images=25) for step in (0, 1, 4, 5)] == [
        0,
        0.5,
        2,
        2,
    ]
