"""The U-Net that is told real noise levels."""

import pytest
import torch
from attrs import evolve

from repro.engine.networks.unet2d_sigma import unet2d_sigma
from repro.engine.probes.call_cost import operations
from repro.errors import RunError
from repro.spec.edm import UNet2DSigma

TINY = UNet2DSigma(
    num_scales=3,
    channels=(8, 8),
    attention=(False, False),
    layers_per_block=1,
    norm_groups=4,
    embedding_dim=16,
    dropout=0.0,
)


def size(spec: UNet2DSigma, shape: tuple[int, int, int]) -> int:
    with torch.device("meta"):
        return sum(each.numel() for each in unet2d_sigma(spec, shape).parameters())


def test_the_defaults_are_the_network_of_edm_from_the_library():
    """Golden: 55,738,627 parameters; the network of Karras et al. has 55,733,891."""
    assert size(UNet2DSigma(), (3, 32, 32)) == 55_738_627


def test_what_a_call_of_it_costs():
    """Golden: 43.0 billion operations an image, and 0.6 in attention, which a CPU fuses."""
    with torch.device("meta"):
        network = unet2d_sigma(UNet2DSigma(), (3, 32, 32)).eval()
    inputs = torch.zeros(1, 3, 32, 32, device="meta"), torch.ones(1, 1, device="meta")

    assert operations(network, inputs) == pytest.approx(43.6e9, rel=1e-3)


def test_three_scales_make_it_a_little_larger():
    """The study's network has 55.9 M parameters; its class is not public."""
    found = size(UNet2DSigma(num_scales=3), (18, 32, 32))

    assert round(found / 1e6, 1) == 56.5


@pytest.mark.parametrize(("num_scales", "shape"), [(1, (3, 32, 32)), (3, (18, 32, 32))])
def test_what_was_done_to_an_image_takes_one_layer(num_scales, shape):
    """Golden: nine numbers to 512 without a bias, 4,608 parameters; it has 9 x 128 in the paper."""
    plain, told = (
        size(UNet2DSigma(num_scales=num_scales, told_changes=told), shape) for told in (False, True)
    )

    assert told - plain == 9 * 512


@pytest.mark.parametrize("num_scales", [1, 3])
def test_what_was_done_to_an_image_is_heard(num_scales):
    """Told nothing it is as told that nothing was done; a mirror image is another."""
    torch.manual_seed(0)
    spec = evolve(TINY, num_scales=num_scales, told_changes=True)
    network = unet2d_sigma(spec, (6, 8, 8)).eval()
    states, levels, changes = torch.randn(2, 6, 8, 8), torch.zeros(2, num_scales), torch.zeros(2, 9)
    mirrored = changes.clone()
    mirrored[:, 0] = 1

    with torch.inference_mode():
        plain = network(states, levels)
        assert torch.equal(network(states, levels, changes), plain)
        assert (network(states, levels, mirrored) - plain).abs().amax(dim=(1, 2, 3)).min() > 1e-4


def test_every_scale_is_heard():
    """Another level at any scale is another prediction; at the others it is the same."""
    torch.manual_seed(0)
    network = unet2d_sigma(TINY, (6, 8, 8)).eval()
    states = torch.randn(4, 6, 8, 8)
    levels = torch.zeros(4, 3)
    for scale in range(3):
        levels[scale + 1, scale] = 1.0
    with torch.inference_mode():
        found = network(states[:1].expand(4, -1, -1, -1), levels)

    assert found.shape == states.shape
    assert all((found[0] - found[each]).abs().max() > 1e-4 for each in (1, 2, 3))


def test_one_level_is_the_time_of_the_library():
    """A real number, as it is."""
    torch.manual_seed(0)
    spec = UNet2DSigma(
        channels=(8, 8), attention=(False, True), layers_per_block=1, norm_groups=4, dropout=0.0
    )
    network = unet2d_sigma(spec, (3, 8, 8)).eval()
    states = torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        found = network(states, torch.tensor([[0.3], [-0.4]]))
        alone = network.unet(states[1:], torch.tensor([-0.4])).sample

    assert torch.allclose(found[1:], alone, atol=1e-6)


def test_sides_must_be_halved():
    """Where a spec does not know the size of its data, the builder says it."""
    with pytest.raises(RunError, match="halve the image 1 times, which 7 x 8 does not allow"):
        unet2d_sigma(TINY, (6, 7, 8))
