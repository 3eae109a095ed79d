"""What a conditional network is told while it samples."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from repro.engine.guidance import Teller, sensitivity, told, weight_of
from repro.engine.randomness import Randomness
from repro.engine.sampling import Samples, sample_images
from repro.engine.schedules import epsilon_of
from repro.errors import RunError
from repro.spec.objective import CosineSchedule, Denoise
from repro.spec.sample import ClassifierFree, Ddim, FromCheckpoint

PROCESS = Denoise(prediction="v", schedule=CosineSchedule(num_levels=12))


class Telling(nn.Module):
    """Says a value for each of three classes and one for none; nobody hears it if it is deaf."""

    null_label = 3

    def __init__(self, *, deaf: bool = False, silent: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.0 if silent else 1.0))
        self.deaf = deaf
        self.heard: list[int] = []

    def forward(self, z: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
        self.heard += labels.tolist()
        said = torch.tensor([0.1, 0.2, 0.4, -0.3])[labels * (not self.deaf)]
        return self.scale * (0.5 * z + said[:, None, None, None])


def guided(scale: float, convention: str = "from-null") -> Tensor:
    network = Telling()
    guidance = ClassifierFree(scale=scale, convention=convention)  # type: ignore[arg-type]
    call = told(network, torch.tensor([0, 2]), null_label=3, guidance=guidance)
    return call(torch.ones(2, 1, 2, 2), torch.tensor([5, 5]))


def sample(network: nn.Module, guidance: ClassifierFree | None = None) -> Samples:
    return sample_images(
        FromCheckpoint(sampler=Ddim(steps=4), num_samples=6, guidance=guidance),
        network,
        objective=PROCESS,
        randomness=Randomness(noise_shape=(1, 2, 2)),
        num_classes=3,
        batch_size=3,
        advance=lambda amount, note="": None,
    )


def test_scale_one_is_the_class_alone():
    """Bit for bit; and so is no guidance."""
    network = Telling()

    plain = network(torch.ones(2, 1, 2, 2), torch.tensor([5, 5]), torch.tensor([0, 2]))

    assert torch.equal(guided(1.0), plain)
    assert torch.equal(guided(0.0, "from-condition"), plain)


def test_scale_zero_is_no_class():
    """Bit for bit."""
    nothing = Telling()(torch.ones(2, 1, 2, 2), torch.tensor([5, 5]), torch.tensor([3, 3]))

    assert torch.equal(guided(0.0), nothing)


def test_scale_three_goes_past_the_class():
    """The output is u + 3 (c - u), with c of the image's own label."""
    assert guided(3.0)[:, 0, 0, 0].tolist() == pytest.approx([0.5 + 0.9, 0.5 + 1.8])


def test_the_two_conventions_differ_by_one():
    """(1 + w') c - w' u of the paper is u + w (c - u) at w = 1 + w'."""
    assert torch.allclose(guided(2.0, "from-condition"), guided(3.0))
    assert weight_of(ClassifierFree(scale=2.0, convention="from-condition")) == 3.0


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
def test_guiding_any_prediction_is_the_same(prediction):
    """Noise, velocity and image are affine in each other: guided noise is the noise of the guided.

    The conditional and the unconditional network say the same in another language.
    """
    z, abar = torch.randn(4, 1, 3, 3, dtype=torch.float64), torch.tensor(0.37, dtype=torch.float64)
    with_class, without = (torch.randn_like(z) for _ in range(2))

    def epsilon(output: Tensor) -> Tensor:
        return epsilon_of(prediction, output, z, abar=abar)

    def both(u: Tensor, c: Tensor) -> Tensor:
        def call(z: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
            return torch.where(labels[:, None, None, None] == 1, u, c)

        labels = torch.zeros(4, dtype=torch.int64)
        network = told(call, labels, null_label=1, guidance=ClassifierFree(scale=3.0))
        return network(z, labels)

    in_its_own = epsilon(both(without, with_class))
    in_noise = both(epsilon(without), epsilon(with_class))
    assert torch.allclose(in_its_own, in_noise)


@pytest.mark.parametrize(
    ("guidance", "calls"),
    [(None, 4), (ClassifierFree(scale=1.0), 4), (ClassifierFree(scale=6.0), 8)],
)
def test_calls_are_counted(guidance, calls):
    """Guidance takes two a step; those that only look whether the network listens do not count."""
    assert sample(Telling(), guidance).nfe == calls


def test_every_image_is_told_its_label():
    """Images of one class get what that class says, whatever the batch."""
    made = sample(Telling())

    assert made.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert made.sensitivity == pytest.approx(0.2)
    assert np.unique(made.images).size > 1


def test_a_network_that_does_not_listen_is_refused():
    """Incident of 2025-09-23: without layers that read the condition, samples looked well."""
    with pytest.raises(RunError, match="its output is the same for every class"):
        sample(Telling(deaf=True))


def test_a_network_that_says_nothing_yet_is_no_deaf_one():
    """A last layer that starts at zero has no output to move."""
    assert sample(Telling(silent=True)).sensitivity == 0


def test_a_network_without_labels_is_called_as_it_is():
    """Nothing stands between it and the sampler."""
    network = nn.Conv2d(1, 1, 1)

    teller = Teller(network, guidance=None)

    assert teller.telling(network, torch.tensor([0])) is network
    assert teller.sensitivity is None


def test_sensitivity_is_the_mean_over_pairs_of_classes():
    """0.1, 0.2 and 0.4 differ by 0.1, 0.2 and 0.3."""
    found = sensitivity(Telling(), torch.zeros(1, 1, 2, 2), torch.tensor([5]))

    assert found == pytest.approx(0.2)
