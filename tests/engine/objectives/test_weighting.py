"""What a noise level counts in the loss."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.engine.objectives.weighting import (
    image_error_factor,
    image_weights,
    loss_weights,
    signal_to_noise,
)
from repro.engine.schedules import Prediction, forward_process
from repro.spec.objective import CosineSchedule, LinearSchedule
from repro.spec.weighting import MinSnr, UniformWeighting

PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "v", "sample")
RATIOS = st.lists(st.floats(1e-9, 1e5), min_size=1, max_size=8).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


@pytest.mark.parametrize(
    ("schedule", "gamma", "first", "mean"),
    [
        (LinearSchedule(), 1.0, 259, 0.8173),
        (LinearSchedule(), 3.0, 165, 0.8884),
        (LinearSchedule(), 5.0, 130, 0.9131),
        (CosineSchedule(), 1.0, 496, 0.6421),
        (CosineSchedule(), 3.0, 328, 0.7758),
        (CosineSchedule(), 5.0, 261, 0.8240),
    ],
)
def test_golden(schedule, gamma, first, mean):
    """The first level of weight 1 and the mean over levels, as the study's logs have them."""
    snr = signal_to_noise(forward_process(schedule))

    weights = loss_weights(MinSnr(gamma=gamma), "epsilon", snr)

    assert int((weights == 1).nonzero()[0]) == first
    assert float(weights.mean()) == pytest.approx(mean, abs=5e-5)


def test_golden_of_single_levels():
    """Cosine schedule, gamma 5, at levels that the study logged."""
    snr = signal_to_noise(forward_process(CosineSchedule()))

    weights = loss_weights(MinSnr(gamma=5.0), "epsilon", snr)[[0, 10, 25, 50]]

    assert weights.tolist() == pytest.approx([0.000206, 0.003608, 0.013283, 0.041722], abs=6e-7)


@given(RATIOS)
def test_the_weights_of_epsilon_are_fractions(snr):
    """They lie above 0 and are at most 1."""
    weights = loss_weights(MinSnr(gamma=5.0), "epsilon", snr)

    assert bool(((weights > 0) & (weights <= 1)).all())


@given(RATIOS, st.sampled_from(PREDICTIONS))
def test_one_weighting_of_the_image_whatever_is_predicted(snr, prediction):
    """Times the size of its error, every prediction counts min(SNR, gamma) of an image error."""
    weights = loss_weights(MinSnr(gamma=5.0), prediction, snr)

    in_image_space = weights * image_error_factor(prediction, snr)

    assert torch.allclose(in_image_space, snr.clamp(max=5.0), rtol=1e-12)


@given(RATIOS)
def test_no_bound_leaves_epsilon_alone(snr):
    """Gamma to infinity: 1 on epsilon, SNR on the image, SNR / (1 + SNR) on v."""
    weighting = MinSnr(gamma=1e9)

    found = [loss_weights(weighting, each, snr) for each in PREDICTIONS]

    for got, expected in zip(found, (torch.ones_like(snr), snr / (1 + snr), snr), strict=True):
        assert torch.allclose(got, expected, rtol=1e-12)


@given(RATIOS)
def test_a_small_bound_counts_images_alike(snr):
    """Gamma to 0: epsilon counts gamma / SNR, a constant times the error of the image."""
    weights = loss_weights(MinSnr(gamma=1e-12), "epsilon", snr)

    assert torch.allclose(weights, 1e-12 / snr, rtol=1e-9)


@given(RATIOS, st.sampled_from(PREDICTIONS))
def test_uniform_counts_every_level_once(snr, prediction):
    """What the network predicts has weight 1; in image space that is the ratio of the errors."""
    weighting = UniformWeighting()

    assert torch.equal(loss_weights(weighting, prediction, snr), torch.ones_like(snr))
    assert torch.equal(
        image_weights(weighting, prediction, snr), image_error_factor(prediction, snr)
    )


@given(RATIOS, st.sampled_from(PREDICTIONS))
def test_normalized_weights_have_mean_one(snr, prediction):
    """A batch's weights keep their ratios and average to one."""
    plain = loss_weights(MinSnr(gamma=5.0), prediction, snr)

    normalized = loss_weights(MinSnr(gamma=5.0, normalized=True), prediction, snr)

    assert float(normalized.mean()) == pytest.approx(1)
    assert torch.allclose(normalized * plain.mean(), plain, rtol=1e-9)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_no_signal_counts_once(prediction):
    """A level without signal has weight 1, not the 0/0 of the formula."""
    weights = loss_weights(MinSnr(gamma=5.0), prediction, torch.tensor([0.0, 1.0]))

    assert float(weights[0]) == 1
