"""Denoising is learned from stored images, noised by the spec's schedule."""

import numpy as np
import pytest
import torch
from attrs import evolve
from torch import Tensor, nn

from repro.engine.datasets import Images
from repro.engine.objectives.denoise import Denoising, denoise
from repro.engine.schedules import forward_process
from repro.engine.seeds import seeded
from repro.spec.objective import Denoise, LinearSchedule
from repro.spec.weighting import MinSnr

WHITE = Images(  # equal images, so that the noise can be told from the noised
    images=np.full((10, 4, 4, 1), 255, np.uint8),
    labels=np.zeros(10, np.int64),
    num_classes=1,
    digest="",
)


class Linear(nn.Module):
    """The noised image, scaled; blind to the level."""

    def __init__(self, *, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, z: Tensor, levels: Tensor) -> Tensor:
        return self.scale * z


class Oracle(nn.Module):
    """Knows that every image is 1 everywhere, and predicts what it is asked for."""

    def __init__(self, spec: Denoise) -> None:
        super().__init__()
        betas = torch.linspace(spec.schedule.beta_start, spec.schedule.beta_end, 50)  # type: ignore[union-attr]
        self.abar = nn.Parameter((1 - betas).cumprod(0))
        self.prediction = spec.prediction
        self.seen: list[int] = []

    def forward(self, z: Tensor, levels: Tensor) -> Tensor:
        self.seen += levels.tolist()
        a, s = (each[levels].sqrt().view(-1, 1, 1, 1) for each in (self.abar, 1 - self.abar))
        epsilon = (z - a) / s
        match self.prediction:
            case "epsilon":
                return epsilon
            case "v":
                return a * epsilon - s
            case "sample":
                return z - s * epsilon - a + 1


class Biased(nn.Module):
    """An oracle whose image is wrong by `error` in every pixel; remembers what it was asked at."""

    def __init__(self, spec: Denoise, *, error: float) -> None:
        super().__init__()
        self.prediction, self.error = spec.prediction, error
        self.abar = nn.Parameter(forward_process(spec.schedule).alphas_cumprod)
        self.snr = torch.empty(0)

    def forward(self, z: Tensor, levels: Tensor) -> Tensor:
        a, s = (each[levels].sqrt().view(-1, 1, 1, 1) for each in (self.abar, 1 - self.abar))
        self.snr = (a / s).square().detach()
        image = torch.ones_like(z) + self.error
        epsilon = (z - a * image) / s
        return {"epsilon": epsilon, "v": a * epsilon - s * image, "sample": image}[self.prediction]


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
def test_a_perfect_network_has_no_loss(prediction):
    """The target is what the prediction's name says."""
    spec = Denoise(prediction=prediction, schedule=LinearSchedule(num_levels=50), batch_size=64)

    out = denoise(spec, data=WHITE).loss(Oracle(spec), step=0, micro=0, generator=seeded("x"))

    assert float(out.loss.detach()) < 1e-6


def test_a_network_that_says_nothing():
    """The loss of predicting zero noise is the noise's variance."""
    spec = Denoise(schedule=LinearSchedule(num_levels=50), batch_size=512)

    out = denoise(spec, data=WHITE).loss(Linear(scale=0.0), step=0, micro=0, generator=seeded("x"))

    assert float(out.loss.detach()) == pytest.approx(1, abs=0.05)


def test_levels_are_uniform():
    """Every level from the first to the last is drawn about as often."""
    spec = Denoise(schedule=LinearSchedule(num_levels=50), batch_size=5000)
    network = Oracle(spec)

    denoise(spec, data=WHITE).loss(network, step=0, micro=0, generator=seeded("x"))

    counts = np.bincount(network.seen, minlength=50)
    assert (len(counts), counts.min() > 60, counts.max() < 140) == (50, True, True)


def test_equal_generators_give_equal_losses():
    """Images, levels and noise all come from the one generator."""
    spec = Denoise(schedule=LinearSchedule(num_levels=50), batch_size=4)
    network = Linear(scale=1.0)
    objective = denoise(spec, data=WHITE)

    losses = [
        float(objective.loss(network, step=0, micro=0, generator=seeded(name)).loss.detach())
        for name in ("a", "a", "b")
    ]

    assert losses[0] == losses[1] != losses[2]


def test_levels_can_be_restricted():
    """A part of the levels may be drawn from, for looking at each part alone."""
    spec = Denoise(schedule=LinearSchedule(num_levels=50), batch_size=500)
    network = Oracle(spec)
    objective = denoise(spec, data=WHITE)
    assert isinstance(objective, Denoising)

    evolve(objective, levels=range(10, 12)).loss(network, step=0, micro=0, generator=seeded("x"))

    assert set(network.seen) == {10, 11}


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
def test_a_weighted_loss_is_that_of_the_image(prediction):
    """Min-SNR counts min(SNR, gamma) times the squared error of x0, whatever is predicted."""
    spec = Denoise(
        prediction=prediction,
        schedule=LinearSchedule(num_levels=50, beta_end=0.2),
        batch_size=64,
        weighting=MinSnr(gamma=2.0),
    )
    network = Biased(spec, error=0.5)

    out = denoise(spec, data=WHITE).loss(network, step=0, micro=0, generator=seeded("x"))

    assert float(out.loss.detach()) == pytest.approx(
        float((0.25 * network.snr.clamp(max=2.0)).mean()), rel=1e-4
    )


def test_the_plain_error_is_watched_beside_a_weighted_loss():
    """Losses under two weightings are not comparable; their unweighted errors are."""
    spec = Denoise(schedule=LinearSchedule(num_levels=50), batch_size=512, weighting=MinSnr())

    out = denoise(spec, data=WHITE).loss(Linear(scale=0.0), step=0, micro=0, generator=seeded("x"))

    assert out.values["mse"] == pytest.approx(1, abs=0.05)
    assert float(out.loss.detach()) < out.values["mse"]


class Listening(nn.Module):
    """Keeps the labels that it is told, of which 3 is none."""

    null_label = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.told: list[int] = []

    def forward(self, z: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
        self.told += labels.tolist()
        return self.scale * z


def labels_told(dropout: float) -> list[int]:
    data = Images(
        images=np.zeros((3000, 2, 2, 1), np.uint8),
        labels=np.arange(3000) % 3,
        num_classes=3,
        digest="",
    )
    spec = Denoise(schedule=LinearSchedule(), batch_size=3000, condition_dropout=dropout)
    network = Listening()
    denoise(spec, data=data).loss(network, step=0, micro=0, generator=seeded("x"))
    return network.told


def test_a_network_that_listens_is_told_each_images_label():
    """Nothing is dropped at probability 0, and everything at 1."""
    assert np.bincount(labels_told(0.0)).tolist() == [1000, 1000, 1000]
    assert set(labels_told(1.0)) == {3}


def test_labels_are_dropped_as_often_as_asked():
    """600 of 3000 at 0.2, within five standard deviations."""
    assert abs(labels_told(0.2).count(3) - 600) < 5 * np.sqrt(3000 * 0.2 * 0.8)
