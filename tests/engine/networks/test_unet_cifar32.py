"""The U-Net of the study E7."""

import math
from typing import Literal

import pytest
import torch

from repro.engine.networks.unet_cifar32 import time_embedding, unet_cifar32
from repro.errors import RunError
from repro.spec.unet_cifar32 import UNetCifar32

ORDERS: tuple[Literal["standard", "inverted"], ...] = ("standard", "inverted")


@pytest.mark.parametrize(("base_channels", "expected"), [(32, 1_982_115), (64, 5_550_403)])
def test_as_many_parameters_as_the_study_logged(base_channels: int, expected: int):
    """Both widths have the number of parameters that stands in the study's results."""
    network = unet_cifar32(UNetCifar32(base_channels=base_channels), (3, 32, 32))

    assert sum(each.numel() for each in network.parameters()) == expected


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 24)])
def test_shapes(shape: tuple[int, int, int]):
    """A prediction has the shape of what was noised."""
    network = unet_cifar32(UNetCifar32(), shape)

    out = network(torch.zeros(2, *shape), torch.tensor([0, 999]))

    assert out.shape == (2, *shape)


@pytest.mark.parametrize("order", ORDERS)
def test_the_level_is_seen(order):
    """Two levels of the same image are not the same to the network."""
    network = unet_cifar32(UNetCifar32(time_embedding=order), (1, 8, 8)).eval()

    with torch.no_grad():
        first, second = network(torch.ones(2, 1, 8, 8), torch.tensor([10, 900]))

    assert not torch.allclose(first, second)


def test_neighbouring_levels_share_nothing_when_inverted():
    """Levels 500 and 501 are nearly one direction in the standard embedding, unrelated inverted."""
    levels = torch.tensor([500, 501])

    cosines = {}
    for order in ORDERS:
        first, second = time_embedding(levels, order=order)
        cosines[order] = float(torch.cosine_similarity(first, second, dim=0))

    assert cosines["standard"] > 0.9
    assert abs(cosines["inverted"]) < 0.2


def test_frequencies():
    """The standard ones run from 1 to 1/10,000, the inverted ones from 1 to 10,000."""
    level = torch.tensor([1])

    standard = time_embedding(level, order="standard")[0]
    inverted = time_embedding(level, order="inverted")[0]

    assert float(standard[0]) == pytest.approx(math.sin(1), abs=1e-6)
    assert float(standard[255]) == pytest.approx(1e-4, abs=1e-7)
    assert float(inverted[0]) == pytest.approx(math.sin(1), abs=1e-6)
    assert float(inverted[255]) == pytest.approx(math.sin(1e4), abs=1e-2)


def test_a_side_that_cannot_be_halved_three_times():
    """28 x 28 allows two halvings, not three."""
    with pytest.raises(RunError, match="halves the image three times, which 28 x 28"):
        unet_cifar32(UNetCifar32(), (1, 28, 28))
