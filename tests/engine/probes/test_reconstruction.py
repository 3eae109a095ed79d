"""The way back from a level, on a Gaussian whose answer is known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from repro.engine.probes.class_grid import agreement, within_classes
from repro.engine.probes.denoising_collage import shown_levels
from repro.engine.probes.reconstruction import fidelity
from repro.engine.samplers.from_level import from_level
from repro.engine.schedules import forward_process
from repro.spec.objective import CosineSchedule, Denoise
from repro.spec.sample import Ddim, Ddpm, MeanScaled

PROCESS = Denoise(prediction="epsilon", schedule=CosineSchedule(num_levels=500))
MEAN, STD, NUM = 0.3, 0.5, 20_000


def restored(spec: Ddim | Ddpm | MeanScaled, level: int) -> tuple[float, float, float]:
    """Mean and deviation of data N(0.3, 0.5^2) from a level and back, and the correlation."""
    generator = torch.Generator().manual_seed(0)
    products = forward_process(PROCESS.schedule).alphas_cumprod.double()

    def noise() -> Tensor:
        return torch.randn(NUM, 1, 1, 1, generator=generator, dtype=torch.float64)

    def perfect(z: Tensor, at: int) -> Tensor:
        a = products[at]
        epsilon: Tensor = (1 - a).sqrt() * (z - a.sqrt() * MEAN) / (a * STD**2 + 1 - a)
        return epsilon

    clean = MEAN + STD * noise()
    a = products[level]
    z = a.sqrt() * clean + (1 - a).sqrt() * noise()
    made = from_level(spec, perfect, z, level, process=PROCESS, draw=noise)
    both = torch.stack([clean.flatten(), made.flatten()])
    return float(made.mean()), float(made.std()), float(torch.corrcoef(both)[0, 1])


@pytest.mark.parametrize(
    "spec", [Ddim(steps=100, clip=False), Ddpm(steps=500, clip=False), MeanScaled()]
)
def test_what_comes_back_is_like_the_data(spec):
    """From half way, by any sampler: the law of the data, and something of each example."""
    mean, std, alike = restored(spec, 249)

    assert (mean, std) == pytest.approx((MEAN, STD), abs=0.02)
    assert 0.18 < alike < 0.95  # a fifth, where the posterior is drawn from


@pytest.mark.parametrize(
    ("spec", "level", "visited"),
    [
        (Ddim(steps=5), 499, [499, 399, 299, 199, 99]),
        (Ddim(steps=5), 250, [250, 199, 99]),
        (Ddpm(steps=5), 199, [199, 99]),
        (MeanScaled(), 3, [3, 2, 1, 0]),
    ],
)
def test_the_way_back_begins_at_the_level(spec, level, visited):
    """And goes over the levels below it that the sampler visits, each once."""
    seen = []

    def watched(z: Tensor, at: int) -> Tensor:
        seen.append(at)
        return torch.zeros_like(z)

    z = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    from_level(spec, watched, z, level, process=PROCESS, draw=lambda: torch.zeros_like(z))

    assert seen == visited


@pytest.mark.parametrize("kind", [Ddim, Ddpm])
def test_the_way_back_bounds_images_if_its_sampler_does(kind):
    """Of latents nothing is cut."""
    process = Denoise(prediction="sample", schedule=PROCESS.schedule)
    z = torch.zeros(1, 1, 1, 1, dtype=torch.float64)

    def three(z: Tensor, at: int) -> Tensor:
        return torch.full_like(z, 3.0)

    cut, whole = (
        from_level(
            kind(steps=5, clip=clip), three, z, 250, process=process, draw=lambda: 0 * z
        ).item()
        for clip in (True, False)
    )

    assert (cut, whole) == pytest.approx((1, 3), abs=0.01)


def test_from_the_last_level_nothing_is_restored():
    """Its signal is 1e-8 of its noise: this is generation, whatever it is called."""
    assert abs(restored(Ddpm(steps=500, clip=False), 499)[2]) < 0.03


def test_without_its_noise_ancestral_sampling_collapses():
    """Eta 0 of the log is not DDIM: nearly all comes back as the mean."""
    assert restored(MeanScaled(eta=0.0), 499)[1] < 0.001
    assert restored(Ddim(steps=500, clip=False), 499)[1] == pytest.approx(STD, abs=0.02)


def test_peak_signal_to_noise_ratio():
    """20 log10(255 / 10) where every value is off by ten."""
    images = np.full((3, 2, 2, 1), 100, np.uint8)

    ratio, signal = fidelity(images, images + np.uint8(10), 7, snr=0.25)

    assert ratio.value == pytest.approx(20 * math.log10(25.5))
    assert (ratio.metric, signal.metric, signal.value) == ("psnr/7", "snr/7", 0.25)


def test_agreement_and_spread_of_classes():
    """Two of three images are taken for what was asked; those of a class may be all one."""
    rate, surely = agreement(
        np.array([0, 1, 1]), np.array([0, 1, 2]), np.array([0.5, 0.75, 1.0], np.float32)
    )
    same = np.array([[0], [0], [255], [255]], np.uint8).reshape(4, 1, 1, 1)

    assert (rate.value, surely.value) == pytest.approx((2 / 3, 0.75))
    assert within_classes(same, np.array([0, 0, 1, 1])).value == 0
    assert within_classes(same, np.array([0, 1, 0, 1])).value == 0.5


def test_levels_that_are_not_visited_are_shown_by_the_next_below():
    """And one that lies below all is not shown."""
    assert shown_levels((499, 300, 7, 2), visited=[499, 299, 5]) == [499, 299, 5]
