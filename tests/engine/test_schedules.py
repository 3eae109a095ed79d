"""Noise schedules and predictions agree with the formulas of the papers."""

import math

import pytest
import torch
from torch import Tensor

from repro.engine.objectives.denoise import target
from repro.engine.schedules import (
    Prediction,
    epsilon_of,
    forward_process,
    respaced,
    trailing_levels,
)
from repro.spec.objective import CosineSchedule, LinearSchedule, NoiseSchedule

LINEAR = LinearSchedule()
COSINE = CosineSchedule(num_levels=500)
PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "v", "sample")


def noised(level: int) -> tuple[Tensor, Tensor, Tensor]:
    """A clean batch, its noise, and the two mixed at *level* of the linear schedule."""
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.rand(2, 3, 4, 4, generator=generator) * 2 - 1 for _ in range(2))
    z = forward_process(LINEAR).add_noise(clean, noise, torch.full((2,), level))
    return clean, noise, z


@pytest.mark.parametrize(
    ("schedule", "level", "expected"),
    [
        (LINEAR, 0, 0.9999),
        (LINEAR, 999, 4.0358e-5),
        (COSINE, 0, 0.999913),
        (COSINE, 250, 0.490727),
        (COSINE, 499, 9.715e-9),
    ],
)
def test_cumulative_products(schedule: NoiseSchedule, level: int, expected: float):
    """The signal that is left is that of the published schedules."""
    got = float(forward_process(schedule).alphas_cumprod[level])

    assert got == pytest.approx(expected, rel=1e-3)


def test_bounds_of_the_linear_schedule():
    """The spec's betas are the ends of the line."""
    betas = forward_process(LinearSchedule(num_levels=5, beta_start=0.1, beta_end=0.5)).betas

    assert betas.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("schedule", [LINEAR, COSINE])
def test_noise_rises_with_the_level(schedule: NoiseSchedule):
    """The ratio of noise to signal is strictly monotone."""
    abar = forward_process(schedule).alphas_cumprod.double()

    sigma = ((1 - abar) / abar).sqrt()

    assert bool((sigma.diff() > 0).all())


def test_both_conventions_denoise_alike():
    """Mixing with unit variance, or adding noise sigma and scaling, is one state."""
    clean, noise, z = noised(300)
    abar = forward_process(LINEAR).alphas_cumprod[300]

    sigma = ((1 - abar) / abar).sqrt()

    assert torch.allclose(z, (clean + sigma * noise) / (1 + sigma**2).sqrt(), atol=1e-6)


@pytest.mark.parametrize("level", [0, 500, 999])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_perfect_predictions_name_the_same_noise(prediction: Prediction, level: int):
    """What a perfect network puts out leads back to the noise that was added."""
    clean, noise, z = noised(level)
    process = forward_process(LINEAR)
    output = target(prediction, process, clean, noise, torch.full((2,), level))

    got = epsilon_of(prediction, output, z, abar=process.alphas_cumprod[level])

    error = {"sample": 1e-5}.get(prediction, 2e-6)  # s is 0.01 at level 0
    assert torch.allclose(got, noise, atol=error)


@pytest.mark.parametrize("level", [0, 500, 999])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_perfect_predictions_name_the_same_image(prediction: Prediction, level: int):
    """The library recovers the clean image from what training calls the target."""
    clean, noise, z = noised(level)
    output = target(prediction, forward_process(LINEAR), clean, noise, torch.full((2,), level))
    scheduler = respaced(LINEAR, [level], prediction=prediction, clip=False)

    got = scheduler.step(output, 0, z).pred_original_sample

    error = 1e-4 if (prediction, level) == ("epsilon", 999) else 1e-5  # a is 0.006 there
    assert torch.allclose(got, clean, atol=error)


@pytest.mark.parametrize("level", [0, 500, 999])
def test_errors_of_the_three_predictions(level: int):
    """|dv|^2 = (1 + SNR) |dx0|^2 = (1 + 1 / SNR) |depsilon|^2 (all at the same z)."""
    abar = forward_process(LINEAR).alphas_cumprod[level].double()
    snr = abar / (1 - abar)
    z, output, error = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator())

    def moved(prediction: Prediction) -> float:
        """How far the noise moves when the output does."""
        before, after = (
            epsilon_of(prediction, out, z, abar=abar) for out in (output, output + error)
        )
        return float((after - before).square().sum() / error.square().sum())

    assert 1 / moved("v") == pytest.approx(float(1 + 1 / snr))
    assert moved("sample") / moved("v") == pytest.approx(float(1 + snr))


def test_trailing_levels():
    """Sampling starts at the noisiest level, and full sampling visits all."""
    assert trailing_levels(1000, 4) == [249, 499, 749, 999]
    assert trailing_levels(1000, 7) == [142, 285, 428, 570, 713, 856, 999]
    assert trailing_levels(5, 5) == [0, 1, 2, 3, 4]


def test_trailing_levels_of_diffusers():
    """The levels are those that diffusers calls trailing."""
    from diffusers import DDIMScheduler

    peer = DDIMScheduler(timestep_spacing="trailing")
    for steps in (1, 3, 20, 50, 64, 1000):
        peer.set_timesteps(steps)  # type: ignore[attr-defined]

        assert trailing_levels(1000, steps) == peer.timesteps.tolist()[::-1]  # type: ignore[attr-defined]


def test_respacing_uses_the_true_previous_level():
    """With 7 of 1000 levels, which do not divide evenly, each step lands on the next level."""
    levels = trailing_levels(1000, 7)
    scheduler = respaced(LINEAR, levels, prediction="epsilon", clip=False)
    abar = forward_process(LINEAR).alphas_cumprod.double()
    noise = torch.ones(1, 1, 1, 1, dtype=torch.float64)

    got = scheduler.step(noise, 6, math.sqrt(1 - abar[999]) * noise).prev_sample

    assert float(got) == pytest.approx(math.sqrt(1 - abar[856]), abs=1e-9)
