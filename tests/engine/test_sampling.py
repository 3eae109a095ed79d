"""Images of a network, made one by one whatever the batch."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from repro.engine.sampling import Samples, quantise, sample_images
from repro.errors import RunError
from repro.spec.objective import Denoise, Drifting, LinearSchedule, Objective
from repro.spec.sample import Ddim, Ddpm, FromCheckpoint, MeanScaled, OneStep, Sampler
from tests.engine.fakes import TinyDenoiser

PROCESS = Denoise(schedule=LinearSchedule(num_levels=12, beta_end=0.5))


class TinyGenerator(nn.Module):
    """One call from noise, label and guidance scale to an image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, noise: Tensor, labels: Tensor, alpha: Tensor) -> Tensor:
        rows = self.scale * noise[:, :1] + 0.1 * labels[:, None] + 0.01 * alpha[:, None]
        return rows[:, :, None, None].expand(-1, 3, 2, 2)


def sample(
    sampler: Sampler,
    *,
    network: nn.Module | None = None,
    objective: Objective = PROCESS,
    batch_size: int = 8,
    num_samples: int = 20,
    seed: int = 0,
    noise_shape: tuple[int, ...] = (1, 4, 4),
) -> Samples:
    return sample_images(
        FromCheckpoint(sampler=sampler, num_samples=num_samples, seed=seed),
        network or TinyDenoiser(),
        objective=objective,
        noise_shape=noise_shape,
        num_classes=3,
        batch_size=batch_size,
        advance=lambda amount, note="": None,
    )


def one_step(alpha: float = 1.0) -> Samples:
    return sample(
        OneStep(alpha=alpha), network=TinyGenerator(), objective=Drifting(), noise_shape=(5,)
    )


@pytest.mark.parametrize("sampler", [Ddpm(steps=6), Ddim(steps=6, eta=0.5), MeanScaled()])
def test_an_image_does_not_depend_on_its_batch(sampler: Sampler):
    """The noise of every step is the image's own, so any batch makes the same image."""
    whole, parts = (sample(sampler, batch_size=size).images for size in (20, 3))

    difference = np.abs(whole.astype(int) - parts.astype(int))
    assert difference.max() <= 1  # kernels may differ by batch size in the last bit


def test_an_image_does_not_depend_on_its_set():
    """Image 17 of one set is image 0 of the set that starts at seed 17."""
    first = sample(Ddpm(steps=6), batch_size=20)

    later = sample(Ddpm(steps=6), seed=17, num_samples=2, batch_size=2)

    assert np.abs(first.images[17].astype(int) - later.images[0].astype(int)).max() <= 1


def test_labels_cycle():
    """Every class is as frequent as the next, and each image's seed is on record."""
    samples = one_step()

    assert samples.labels.tolist() == [0, 1, 2] * 6 + [0, 1]
    assert samples.seeds.tolist() == list(range(20))


def test_one_step():
    """A generator is called once with noise, label and guidance scale."""
    samples = one_step()

    assert samples.nfe == 1
    assert samples.images.shape == (20, 2, 2, 3)
    assert (one_step(alpha=9.0).images > samples.images).all()


@pytest.mark.parametrize(("sampler", "nfe"), [(Ddim(steps=5), 5), (MeanScaled(), 12)])
def test_network_calls_are_counted(sampler: Sampler, nfe: int):
    """The number of calls an image took is counted, whatever the batches."""
    assert sample(sampler, batch_size=7).nfe == nfe


def test_progress_counts_images():
    """Each batch tells how many images it has added."""
    told: list[int] = []

    sample_images(
        FromCheckpoint(sampler=Ddim(steps=1), num_samples=5),
        TinyDenoiser(),
        objective=PROCESS,
        noise_shape=(1, 4, 4),
        num_classes=1,
        batch_size=2,
        advance=lambda amount, note="": told.append(amount),
    )

    assert told == [2, 2, 1]


def test_halves_round_to_the_even_byte():
    """Bytes are (x + 1) 127.5, rounded half to even and cut to their range."""
    halves = torch.tensor([64.5, 65.5, 127.5]) / 127.5 - 1
    x = torch.cat([torch.tensor([-2.0, -1.0]), halves, torch.tensor([1.0, 7.0])])

    assert quantise(x.view(1, 1, 1, -1)).ravel().tolist() == [0, 0, 64, 66, 128, 255, 255]


def test_an_image_that_is_not_finite_stops():
    """NaN would silently become a byte."""
    with pytest.raises(RunError, match="not finite"):
        quantise(torch.full((1, 3, 2, 2), float("nan")))
