"""The implicit sampler and its ancestral case."""

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from repro.engine.samplers.ddim import ddim, ddpm, descend
from repro.engine.schedules import Prediction, forward_process, trailing_levels
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.spec.objective import CosineSchedule, Denoise, LinearSchedule, NoiseSchedule
from repro.spec.sample import Ddim, Ddpm

SHAPE = (2, 1, 4, 4)
DIFFUSERS_PREDICTION = {"epsilon": "epsilon", "v": "v_prediction", "sample": "sample"}


def network(z: Tensor, level: int) -> Tensor:
    """Some function of both; nothing in the samplers asks for a good one."""
    return torch.sin(3 * z) + level / 1000


class Noise:
    """Standard normal draws, counted."""

    def __init__(self, seed: int = 7) -> None:
        self.count = 0
        self._generator = Generator().manual_seed(seed)

    def __call__(self) -> Tensor:
        self.count += 1
        return torch.randn(SHAPE, generator=self._generator)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
@pytest.mark.parametrize("steps", [1000, 30])
def test_ancestral_sampling_is_that_of_diffusers(prediction: Prediction, steps: int, *, clip: bool):
    """With the same noise, `ddpm` takes the steps of `DDPMScheduler` on the same levels."""
    ensure_torchvision_importable()
    from diffusers import DDPMScheduler

    peer = DDPMScheduler(prediction_type=DIFFUSERS_PREDICTION[prediction], clip_sample=clip)
    levels = trailing_levels(1000, steps)[::-1]
    peer.set_timesteps(timesteps=levels)  # type: ignore[attr-defined]
    generator = Generator().manual_seed(7)
    expected = start = torch.randn(SHAPE, generator=Generator().manual_seed(1))
    for level in levels:
        expected = peer.step(  # type: ignore[attr-defined]
            network(expected, level), level, expected, generator=generator
        ).prev_sample

    got = ddpm(
        Ddpm(steps=steps, clip=clip),
        network,
        start,
        process=Denoise(prediction=prediction),
        draw=Noise(),
    )

    assert torch.allclose(got, expected, rtol=2e-3, atol=2e-3)


def respaced(process: Denoise, levels: list[int], *, clip: bool) -> Any:
    """The `DDIMScheduler` of diffusers whose level i is `levels[i]`, in double precision.

    Its own re-spacing subtracts `num_levels // steps`, which misses the level below where that does
    not divide.
    """
    from diffusers import DDIMScheduler

    scheduler: Any = DDIMScheduler(
        num_train_timesteps=len(levels),
        prediction_type=DIFFUSERS_PREDICTION[process.prediction],
        clip_sample=clip,
        timestep_spacing="trailing",
    )
    scheduler.alphas_cumprod = forward_process(process.schedule).alphas_cumprod.double()[levels]
    scheduler.set_timesteps(len(levels))
    return scheduler


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("schedule", [LinearSchedule(), CosineSchedule(num_levels=500)])
def test_a_step_is_that_of_diffusers_to_the_last_bit(
    schedule: NoiseSchedule, eta: float, prediction: Prediction, *, clip: bool
):
    """On a schedule of the visited levels alone, told to move off the clipped image."""
    process = Denoise(prediction=prediction, schedule=schedule)
    levels = trailing_levels(schedule.num_levels, 30)
    peer, draw = respaced(process, levels, clip=clip), Noise()
    expected = start = torch.randn(SHAPE, generator=Generator().manual_seed(1))
    for index in reversed(range(30)):
        expected = peer.step(
            network(expected, levels[index]),
            index,
            expected,
            eta=eta if index else 0.0,
            use_clipped_model_output=True,
            variance_noise=draw() if eta and index else None,
        ).prev_sample

    got = ddim(Ddim(steps=30, eta=eta, clip=clip), network, start, process=process, draw=Noise())

    assert torch.equal(got, expected)


def test_a_step_ends_on_the_true_level_below():
    """With 7 of 1000 levels, which do not divide evenly, noise alone is scaled as they say."""
    process = Denoise(prediction="epsilon")
    abar = forward_process(process.schedule).alphas_cumprod.double()
    noise = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    visited = {}

    def only_noise(z: Tensor, level: int) -> Tensor:
        visited[level] = float(z)
        return noise

    levels = trailing_levels(1000, 7)
    start = math.sqrt(1 - abar[999]) * noise
    descend(Ddim(clip=False), only_noise, start, levels=levels, process=process, draw=Noise())

    expected = {level: math.sqrt(1 - abar[level]) for level in levels}
    assert visited == pytest.approx(expected, abs=1e-9)


def sampled(spec: Ddim, draw: Noise) -> Tensor:
    start = torch.randn(SHAPE, generator=Generator().manual_seed(1))
    process = Denoise(schedule=LinearSchedule(num_levels=100))
    return ddim(spec, network, start, process=process, draw=draw)


def test_without_eta_nothing_is_drawn():
    """At eta 0 two calls agree bit for bit and no noise is used."""
    first, second = Noise(1), Noise(2)

    assert torch.equal(sampled(Ddim(steps=10), first), sampled(Ddim(steps=10), second))
    assert (first.count, second.count) == (0, 0)


def test_noise_is_drawn_on_every_step_but_the_last():
    """At eta above 0 the last step, which adds no noise, draws none."""
    draw = Noise()

    sampled(Ddim(steps=10, eta=0.5), draw)

    assert draw.count == 9


def test_clipping_bounds_the_image():
    """What is clipped on the last step is inside the pixels' range."""
    clipped, free = (sampled(Ddim(steps=5, clip=clip), Noise()) for clip in (True, False))

    assert float(clipped.abs().max()) <= 1
    assert float(free.abs().max()) > 1
