"""Images of a network, made one by one whatever the set."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from repro.engine.networks.conv_generator import conv_generator
from repro.engine.networks.dit import dit
from repro.engine.quantise import quantise
from repro.engine.randomness import Randomness
from repro.engine.sampling import Samples, sample_images
from repro.engine.seeds import global_stream
from repro.errors import RunError
from repro.spec import network as networks
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
    num_style_tokens: int = 0,
    num_style_codes: int = 1,
) -> Samples:
    return sample_images(
        FromCheckpoint(sampler=sampler, num_samples=num_samples, seed=seed),
        network or TinyDenoiser(),
        objective=objective,
        randomness=Randomness(
            noise_shape=noise_shape,
            num_style_tokens=num_style_tokens,
            num_style_codes=num_style_codes,
        ),
        num_classes=3,
        batch_size=batch_size,
        advance=lambda amount, note="": None,
    )


def images_of(network: nn.Module, **changes: Any) -> Samples:
    """Images of a class-conditional generator, in batches of 64."""
    changes = {"noise_shape": (128,), "objective": Drifting(), "batch_size": 64, **changes}
    return sample(OneStep(), network=network, **changes)


@pytest.fixture(scope="module")
def generator() -> nn.Module:
    """The generator of the spec's defaults, untrained."""
    with global_stream("network", 0):
        return conv_generator(networks.ConvGenerator(), (3, 32, 32))


@pytest.fixture(scope="module")
def generated(generator: nn.Module) -> Samples:
    """Two batches of it and one image more."""
    return images_of(generator, num_samples=129)


def one_step(alpha: float = 1.0) -> Samples:
    return sample(
        OneStep(alpha=alpha), network=TinyGenerator(), objective=Drifting(), noise_shape=(5,)
    )


@pytest.mark.parametrize("sampler", [Ddpm(steps=6), Ddim(steps=6, eta=0.5), MeanScaled()])
def test_another_size_of_batch_changes_rounding_only(sampler: Sampler):
    """The noise of every step is the image's own, so any batch makes the same image."""
    whole, parts = (sample(sampler, batch_size=size).images for size in (20, 3))

    difference = np.abs(whole.astype(int) - parts.astype(int))
    assert difference.max() <= 1  # kernels may differ by batch size in the last bit


@pytest.mark.parametrize(("seed", "num_samples"), [(0, 2), (17, 3), (64, 65), (3, 100), (127, 2)])
def test_an_image_does_not_depend_on_its_set(
    generated: Samples, generator: nn.Module, seed: int, num_samples: int
):
    """Image 17 of one set is image 0 of the set that starts at seed 17, to the last bit."""
    part = images_of(generator, seed=seed, num_samples=num_samples)

    assert (part.images == generated.images[seed : seed + num_samples]).all()
    assert (part.labels == generated.labels[seed : seed + num_samples]).all()


class TinyStylist(nn.Module):
    """An image of the noise's shape, moved by its style indices."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, noise: Tensor, labels: Tensor, alpha: Tensor, style: Tensor) -> Tensor:
        del labels, alpha
        return self.scale * (noise + style.float().mean(dim=1)[:, None, None, None])


def stylish(**changes: Any) -> Samples:
    return sample(
        OneStep(),
        network=TinyStylist(),
        objective=Drifting(),
        noise_shape=(3, 2, 2),
        num_style_tokens=4,
        num_style_codes=9,
        **changes,
    )


def test_style_is_the_images_own():
    """Noise of the image's shape and style indices depend on its seed, not on set or batch."""
    whole = stylish()

    part = stylish(seed=13, num_samples=3, batch_size=2)

    assert whole.nfe == part.nfe == 1
    assert (part.images == whole.images[13:16]).all()
    assert len({image.tobytes() for image in whole.images}) == 20


def test_a_transformer_takes_one_call_for_an_image():
    """The drifting paper's generator is called once for every batch, and no part of it twice."""
    spec = networks.Dit(
        depth=2, num_heads=1, head_dim=8, num_classes=3, num_style_tokens=4, num_style_codes=9
    )
    network = dit(spec, (3, 4, 4))
    calls = Counter[str]()
    for name, module in network.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: calls.update([name]))

    samples = sample(
        OneStep(),
        network=network,
        objective=Drifting(),
        noise_shape=(3, 4, 4),
        num_style_tokens=4,
        num_style_codes=9,
        batch_size=8,
        num_samples=11,
    )

    assert samples.nfe == 1
    assert calls.pop("rotation") == 2 * 2 * spec.depth  # queries and keys of every block
    assert set(calls.values()) == {2}


def test_a_denoised_image_does_not_depend_on_its_set():
    """Neither do those that take many calls, each with noise of its own."""
    whole = sample(Ddpm(steps=6))

    part = sample(Ddpm(steps=6), seed=17, num_samples=2)

    assert (part.images == whole.images[17:19]).all()


def test_every_call_has_a_whole_batch():
    """Kernels round by the number of rows, so the last batch is filled up."""
    network = TinyDenoiser()
    sizes: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))

    samples = sample(Ddim(steps=2), network=network, batch_size=8, num_samples=11)

    assert sizes == [8] * 4
    assert len(samples.images) == 11


def test_labels_cycle():
    """Every class is as frequent as the next, and each image's seed is on record."""
    samples = one_step()

    assert samples.labels.tolist() == [0, 1, 2] * 6 + [0, 1]
    assert samples.seeds.tolist() == list(range(20))


def test_a_label_is_that_of_the_seed():
    """A set that starts elsewhere starts with another class."""
    assert sample(Ddim(steps=1), seed=7, num_samples=4).labels.tolist() == [1, 2, 0, 1]


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
        randomness=Randomness(noise_shape=(1, 4, 4)),
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
