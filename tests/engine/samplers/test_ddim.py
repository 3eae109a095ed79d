"""The implicit sampler and its ancestral case."""

import pytest
import torch
from torch import Generator, Tensor

from repro.engine.samplers.ddim import ddim, ddpm
from repro.engine.schedules import DIFFUSERS_PREDICTION, Prediction, trailing_levels
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.spec.objective import Denoise, LinearSchedule
from repro.spec.sample import Ddim, Ddpm

SHAPE = (2, 1, 4, 4)


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
