"""The U-Net of diffusers behind a plain call."""

import pytest
import torch

from repro.engine.networks.unet2d import unet2d
from repro.errors import RunError
from repro.spec.network import UNet2D

SMALL = UNet2D(channels=(8, 16), attention=(False, False), layers_per_block=1, norm_groups=4)


def test_shapes():
    """A prediction has the shape of what was noised."""
    network = unet2d(SMALL, (3, 8, 12))

    out = network(torch.zeros(2, 3, 8, 12), torch.tensor([0, 999]))

    assert out.shape == (2, 3, 8, 12)


def test_the_level_is_seen():
    """Two levels of the same image are not the same to the network."""
    network = unet2d(SMALL, (1, 8, 8)).eval()

    with torch.no_grad():
        first, second = network(torch.ones(2, 1, 8, 8), torch.tensor([10, 900]))

    assert not torch.allclose(first, second)


@pytest.mark.parametrize(("attention", "expected"), [((False, False), 0), ((False, True), 4)])
def test_attention_is_where_the_spec_says(attention, expected):
    """In the listed stages down and up, and then also at the bottom."""
    spec = UNet2D(channels=(8, 16), attention=attention, layers_per_block=1, norm_groups=4)

    names = [name for name, _ in unet2d(spec, (1, 8, 8)).named_modules()]

    assert sum(name.endswith("group_norm") for name in names) == expected


def test_size_of_the_digits_network():
    """The small network for 8 x 8 digits has its known number of parameters."""
    spec = UNet2D(channels=(16, 32), attention=(False, False), layers_per_block=1, norm_groups=8)

    network = unet2d(spec, (1, 8, 8))

    assert sum(each.numel() for each in network.parameters()) == 159_697


def test_size_of_the_twin_of_e7():
    """The library's network beside that of the study E7 (1,982,115) is a twelfth larger."""
    network = unet2d(UNet2D(channels=(32, 64, 64, 64), dropout=0.1), (3, 32, 32))

    assert sum(each.numel() for each in network.parameters()) == 2_145_155


def test_a_side_that_cannot_be_halved():
    """28 x 28 allows two halvings, not three."""
    with pytest.raises(RunError, match="4 entries halve the image 3 times, which 28 x 28"):
        unet2d(UNet2D(), (1, 28, 28))
