"""Training at levels drawn for every scale."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from repro.engine.datasets import Images
from repro.engine.objectives.edm import EdmDenoising, edm, noise_levels
from repro.engine.objectives.objective import CountsImages
from repro.spec.edm import Augmentation, Edm, LogNormalNoise, TorusPyramid

TORUS = Edm(codec=TorusPyramid(), batch_size=16)


def data(num: int = 40, *, seed: int = 0) -> Images:
    random = np.random.RandomState(seed)
    return Images(
        images=random.randint(0, 256, (num, 8, 8, 1)).astype(np.uint8),
        labels=np.zeros(num, np.int64),
        num_classes=1,
        digest="",
    )


class Nothing(nn.Module):
    """A network that puts out zeros, and remembers what it was given."""

    told: tuple[Tensor, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, states: Tensor, levels: Tensor, *told: Tensor) -> Tensor:
        self.seen.append((states, levels))
        self.told = told
        return self.weight * states


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_levels_are_log_normal():
    """The law of the paper: ln sigma ~ N(-1.2, 1.2^2), each scale by itself."""
    levels = noise_levels(LogNormalNoise(), 50_000, num_scales=3, generator=generator()).log()

    assert levels.mean(dim=0).tolist() == pytest.approx([-1.2] * 3, abs=0.03)
    assert levels.std(dim=0).tolist() == pytest.approx([1.2] * 3, abs=0.03)
    assert torch.corrcoef(levels.T)[0, 1].abs() < 0.02


def test_coupled_levels_are_one():
    """A draw for all scales of an image."""
    levels = noise_levels(LogNormalNoise(coupled=True), 8, num_scales=3, generator=generator())

    assert torch.equal(levels, levels[:, :1].expand(-1, 3))
    assert len(set(levels[:, 0].tolist())) == 8


def test_a_network_without_weights_has_an_error_near_one():
    """It is the variance of its own target, which preconditioning makes 1 for data of that size."""
    deviation = float((data().images[:] / 127.5 - 1).std())
    spec = Edm(sigma_data=deviation, batch_size=40)
    losses = [
        float(
            edm(spec, data=data())
            .loss(Nothing(), step=0, micro=0, generator=generator(i))
            .loss.detach()
        )
        for i in range(50)
    ]

    assert np.mean(losses) == pytest.approx(1.0, abs=0.05)


def test_the_network_gets_scaled_states_and_every_level():
    """Of the torus, of size about 1, with ln(sigma)/4."""
    network = Nothing()
    found = edm(TORUS, data=data()).loss(network, step=0, micro=0, generator=generator())

    [(states, levels)] = network.seen
    assert states.shape == (16, 6, 8, 8)
    assert levels.shape == (16, 3)
    assert (4 * levels).mean() == pytest.approx(-1.2, abs=1.0)
    scales = [found.values[f"scale-{factor}"] for factor in (1, 2, 4)]
    assert float(found.loss.detach()) == pytest.approx(math.fsum(scales) / 3, rel=1e-5)


def test_the_same_step_draws_the_same():
    """All randomness is the generator's."""
    first, second = (
        edm(TORUS, data=data()).loss(Nothing(), step=3, micro=0, generator=generator(7)).loss
        for _ in range(2)
    )

    assert torch.equal(first, second)


def test_images_may_be_mirrored():
    """About half of them, each by a coin of its own."""
    plain, mirrored = (
        EdmDenoising(spec=Edm(batch_size=40, flip=flip), data=data()).drawn(generator())[0]
        for flip in (False, True)
    )
    same = (plain == mirrored).flatten(1).all(dim=1)
    turned = (plain.flip(3) == mirrored).flatten(1).all(dim=1)

    assert (same ^ turned).all()
    assert 5 < int(turned.sum()) < 35


def test_the_network_is_told_what_was_done_to_an_image():
    """Nine numbers, all 0 where it is only an image; without augmentation it is told nothing."""
    alone, together = Nothing(), Nothing()
    plain, augmented = (
        edm(Edm(batch_size=40, augment=augment), data=data())
        for augment in (None, Augmentation(probability=0.0))
    )

    plain.loss(alone, step=0, micro=0, generator=generator())
    augmented.loss(together, step=0, micro=0, generator=generator())

    [numbers] = together.told
    assert alone.told == ()
    assert numbers.shape == (40, 9)
    assert 5 < int(numbers[:, 0].sum()) < 35
    assert not numbers[:, 1:].any()


def test_it_counts_its_images():
    """So that rates and averages may be stated in images."""
    objective = edm(TORUS, data=data())

    assert isinstance(objective, CountsImages)
    assert objective.num_images == 16


def test_sigma_data_can_be_held_against_the_data():
    """On the torus it is 0.7071 whatever the images; the study's 0.5 is another model's."""
    found = edm(TORUS, data=data()).loss(Nothing(), step=0, micro=0, generator=generator())

    assert found.values["data_rms"] == pytest.approx(math.sqrt(0.5), rel=1e-6)
