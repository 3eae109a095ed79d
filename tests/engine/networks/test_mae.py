"""The masked autoencoder: sizes that are published, and what its parts do."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.utils.flop_counter import FlopCounterMode

from repro.engine.networks.mae import Mae, MaeEncoder, mae, patchified
from repro.errors import RunError
from repro.spec import network as networks
from tests.engine.networks.mae_oracle import reference_maps, reference_restored


def small(*, num_classes: int = 0, patch: int = 1, width: int = 4) -> Mae:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        spec = networks.Mae(width=width, blocks=(1, 2, 1, 1), patch=patch, num_classes=num_classes)
        return mae(spec, (3, 16, 16))


def images(num: int = 2, side: int = 16) -> Tensor:
    return torch.rand((num, 3, side, side), generator=Generator().manual_seed(0)) * 2 - 1


def nothing_hidden(grid: Tensor) -> Tensor:
    return torch.zeros_like(grid[:, :1], dtype=torch.bool)


@pytest.mark.parametrize(
    ("width", "millions", "giga_macs"), [(256, 340, 18.5), (640, 2_126, 115.8)]
)
def test_the_encoder_has_the_published_size(width: int, millions: int, giga_macs: float):
    """340 M parameters and 18.5 GMAC at width 256; 2.13 B and 115.8 at 640 (facts 1.9)."""
    with torch.device("meta"):
        encoder = MaeEncoder(networks.Mae(width=width), 4)
        with FlopCounterMode(display=False) as counted:
            encoder.maps(torch.empty(1, 4, 32, 32), encoder.taps)

    assert sum(each.numel() for each in encoder.parameters()) // 10**6 == millions
    assert counted.get_total_flops() / 2e9 == pytest.approx(giga_macs, abs=0.05)


@torch.no_grad()
def test_equals_the_description():
    """Maps and restoration are those of the description in plain numpy, to 1e-9."""
    spec = networks.Mae(width=32, blocks=(2, 1, 3, 1))
    torch.manual_seed(0)
    network = mae(spec, (3, 16, 16)).double()
    for weight in network.parameters():
        weight.add_(0.2 * torch.randn_like(weight))
    weights = {name: each.numpy() for name, each in network.state_dict().items()}
    grid = images(num=1).double()

    found = network.encoder.maps(grid, network.encoder.taps)
    restored, _ = network(grid, nothing_hidden(grid))

    expected = reference_maps(spec, weights, grid[0].numpy())
    assert list(found) == list(expected)
    for name, each in expected.items():
        np.testing.assert_allclose(found[name][0], each, rtol=0, atol=1e-9 * np.abs(each).max())
    wanted = reference_restored(weights, expected)
    np.testing.assert_allclose(restored[0], wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


def test_every_published_width_has_32_groups():
    """Normalization is over min(32, channels) groups in encoder and decoder."""
    for width in (64, 96, 256, 640):
        with torch.device("meta"):
            network = Mae(networks.Mae(width=width), 4)
        norms = [each for each in network.modules() if isinstance(each, torch.nn.GroupNorm)]

        assert {each.num_groups for each in norms} == {32}


@pytest.mark.parametrize("width", [1, 3, 4, 24])
def test_any_width_works(width: int):
    """Widths that 32 does not divide are grouped by what does."""
    restored, _ = small(width=width)(images(), nothing_hidden(images()))

    assert restored.shape == (2, 3, 16, 16)


def test_stages_halve_the_map_and_double_the_channels():
    """Sides 16, 8, 4, 2 and widths 1, 2, 4, 8."""
    encoder = small().encoder
    found = encoder.maps(images(), encoder.taps)

    assert {name: tuple(value.shape[1:]) for name, value in found.items()} == {
        "conv1": (4, 16, 16),
        "layer1": (4, 16, 16),
        "layer2_blk2": (8, 8, 8),
        "layer2": (8, 8, 8),
        "layer3": (16, 4, 4),
        "layer4": (32, 2, 2),
    }


def test_a_stage_ends_in_a_normalization_that_feeds_the_next():
    """`layer2` is `layer2_blk2` normalized: the same activation before and after (facts 1.5)."""
    encoder = small().encoder
    found = encoder.maps(images(), encoder.taps)

    assert torch.equal(encoder.layers["layer2"](found["layer2_blk2"]), found["layer2"])
    third = encoder.layers["layer3"](encoder.layers["layer3_blk1"](found["layer2"]))
    assert torch.equal(third, found["layer3"])


def test_patches_become_channels():
    """A patch of 2 x 2 RGB pixels is a vector of twelve, and nothing is lost."""
    grid = patchified(images(), 2)

    assert grid.shape == (2, 12, 8, 8)
    assert set(grid[0, :, 1, 2].tolist()) == set(images()[0, :, 2:4, 4:6].flatten().tolist())


def test_what_is_hidden_is_not_seen():
    """Pixels under the mask move neither restoration nor logits."""
    network, first = small(num_classes=5), images()
    hidden = nothing_hidden(first)
    hidden[:, :, 4:8, 4:8] = True
    second = torch.where(hidden, first + 1, first)

    for one, other in zip(network(first, hidden), network(second, hidden), strict=True):
        assert torch.equal(one, other)


def test_what_is_not_hidden_is_seen():
    """The same pixels do, once they are shown."""
    network, first = small(), images()
    hidden = nothing_hidden(first)

    restored, logits = network(first + 1, hidden)

    assert logits is None
    assert not torch.equal(restored, network(first, hidden)[0])


def test_the_decoder_reads_every_skip():
    """A change of any of the five maps changes what is restored."""
    network = small()
    maps = dict(network.encoder.maps(images(), network.encoder.taps))
    before = network.decoder(maps)

    for name in ("conv1", "layer1", "layer2", "layer3", "layer4"):
        assert not torch.equal(network.decoder({**maps, name: maps[name] + 1}), before), name


def test_the_classifier_reads_the_mean_of_the_last_map():
    """Logits are linear in the mean over places of `layer4`."""
    network = small(num_classes=5)
    assert network.classifier is not None
    last = network.encoder.maps(images(), ["layer4"])["layer4"]

    _, logits = network(images(), nothing_hidden(images()))

    torch.testing.assert_close(logits, network.classifier(last.mean(dim=(2, 3))))


def test_odd_sides_are_restored():
    """28 pixels go down to 4 and come back."""
    grid = images(side=28)

    assert small()(grid, nothing_hidden(grid))[0].shape == grid.shape


def test_patches_that_do_not_fit_are_refused():
    """The message names the field and the sizes."""
    with pytest.raises(RunError, match=r"network\.patch: 3 does not divide 16 x 16"):
        small(patch=3)
    with pytest.raises(RunError, match=r"network\.patch: 2 leaves 16 x 16 too small to halve"):
        small(patch=2)
