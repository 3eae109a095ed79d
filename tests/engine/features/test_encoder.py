"""The keys of a whole encoder: the counts of the drifting paper's feature set."""

import pytest
import torch
from torch import Generator, Tensor

from repro.engine.features.encoder import MapFeatures
from repro.engine.networks.conv_encoder import conv_encoder
from repro.engine.networks.mae import MaeEncoder
from repro.errors import RunError
from repro.spec.data import StandIn
from repro.spec.document import Spec
from repro.spec.encoder import Member, PretrainedEncoder, SeveralEncoders, feature_keys
from repro.spec.map_keys import MapKeys, Statistic
from repro.spec.network import ConvEncoder, Mae
from repro.spec.objective import MaskedAutoencoding


def encoder(*, width: int = 4, channels: int = 4, patch: int = 1) -> MaeEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MaeEncoder(Mae(width=width, patch=patch), channels)


def features(images: Tensor, *keys: MapKeys, norm_x: bool = True) -> dict[str, Tensor]:
    network = encoder(channels=images.shape[1])
    return MapFeatures(network, keys or (MapKeys(),), norm_x=norm_x).features(images)


@pytest.mark.parametrize("width", [64, 96, 256, 640])
def test_the_official_latent_feature_set(width: int):
    """With the raw sample: 86 keys, 6,734 vectors and 9650 C + 4100 floats (facts 1.5)."""
    with torch.device("meta"):
        latents = torch.empty(1, 4, 32, 32)
        network = MapFeatures(encoder(width=width), (MapKeys(),), norm_x=True)
        found = {"pixels": latents.flatten(1)[:, None, :], **network.features(latents)}

    assert len(found) == 86
    assert sum(each.shape[1] for each in found.values()) == 6_734
    assert sum(each.numel() for each in found.values()) == 9_650 * width + 4_100


def test_the_official_pixel_feature_set():
    """256 x 256 pixels in patches of eight give the same maps; only the two raw keys grow."""
    with torch.device("meta"):
        images = torch.empty(1, 3, 256, 256)
        network = MapFeatures(encoder(width=256, channels=3, patch=8), (MapKeys(),), norm_x=True)
        found = {"pixels": images.flatten(1)[:, None, :], **network.features(images)}

    assert (len(found), sum(each.shape[1] for each in found.values())) == (86, 6_734)
    assert found["norm_x"].shape == (1, 1, 192)
    assert found["pixels"].shape == (1, 1, 196_608)
    assert sum(each.numel() for each in found.values()) == 9_650 * 256 + 192 + 196_608


def test_the_maps_are_the_twelve_of_the_paper():
    """The stem, every second block, and every stage's end (facts 1.5)."""
    assert encoder().taps == [
        *("conv1", "layer1_blk2", "layer1"),
        *("layer2_blk2", "layer2_blk4", "layer2"),
        *("layer3_blk2", "layer3_blk4", "layer3_blk6", "layer3"),
        *("layer4_blk2", "layer4"),
    ]


@pytest.mark.parametrize(
    ("statistics", "vectors"),
    [
        (("locations", "mean-std"), 4_128 + 24),
        (("locations", "mean-std", "patches-2"), 4_128 + 24 + 2 * 1_032),
    ],
)
def test_the_ablations_of_the_feature_set(statistics: tuple[Statistic, ...], vectors: int):
    """Feature sets (a, b) and (a-c) of the paper's ablation are a choice of statistics."""
    found = features(torch.zeros(1, 4, 32, 32), MapKeys(statistics=statistics), norm_x=False)

    assert sum(each.shape[1] for each in found.values()) == vectors


def test_a_spec_knows_the_keys_of_its_encoder():
    """Before anything is built: of a masked autoencoder, of a small encoder, of both."""
    upstream = Spec(
        schema=1, network=Mae(width=4), objective=MaskedAutoencoding(), data=StandIn(), train=None
    )
    learned = PretrainedEncoder(run=upstream)
    few = ConvEncoder(channels=(8, 8))
    named = ConvEncoder(
        channels=(8, 8), features=(MapKeys(taps=("stage2",), statistics=("patches-2",)),)
    )
    images = torch.zeros(1, 3, 32, 32)

    assert feature_keys(learned) == list(features(images))
    for spec in (few, named):
        assert feature_keys(spec) == list(conv_encoder(spec, (3, 32, 32), 10).features(images))
    both = SeveralEncoders(
        members=(Member(name="mae", encoder=learned), Member(name="small", encoder=few))
    )
    assert feature_keys(both) == [
        *(f"mae/{each}" for each in feature_keys(learned)),
        *(f"small/{each}" for each in feature_keys(few)),
    ]


def test_taps_choose_the_maps():
    """Two groups of keys: places of one map, moments of another."""
    found = features(
        torch.zeros(2, 4, 16, 16),
        MapKeys(taps=("layer2",), statistics=("locations",)),
        MapKeys(taps=("layer1", "layer2"), statistics=("mean-std",)),
    )

    assert {key: tuple(value.shape) for key, value in found.items()} == {
        "norm_x": (2, 1, 4),
        "layer2": (2, 64, 8),
        "layer1_mean": (2, 1, 4),
        "layer1_std": (2, 1, 4),
        "layer2_mean": (2, 1, 8),
        "layer2_std": (2, 1, 8),
    }


def test_the_network_goes_no_deeper_than_its_taps(monkeypatch: pytest.MonkeyPatch):
    """What no key asks for is not computed."""
    network = encoder()
    monkeypatch.setattr(network.layers["layer2_blk1"], "forward", pytest.fail)

    MapFeatures(network, (MapKeys(taps=("layer1",)),), norm_x=False).features(
        torch.zeros(1, 4, 16, 16)
    )


def test_a_map_that_is_not_there_is_named_with_its_neighbours():
    """A mistyped tap says what it may have been."""
    with pytest.raises(RunError, match=r"no map 'layer5', did you mean 'layer\d'\?"):
        MapFeatures(encoder(), (MapKeys(taps=("layer5",)),), norm_x=False)


def test_features_ignore_the_batch():
    """An image alone has the features that it has in a batch."""
    images = torch.randn((3, 4, 16, 16), generator=Generator().manual_seed(0)).double()
    network = MapFeatures(encoder(), (MapKeys(),), norm_x=True).double()
    with torch.no_grad():
        together, alone = network.features(images), network.features(images[1:2])

    for key, value in alone.items():
        torch.testing.assert_close(value[0], together[key][1], rtol=0, atol=1e-9)


def test_a_gradient_reaches_the_images_through_every_key():
    """Each key by itself moves the image, and none of them the frozen weights."""
    images = torch.randn((1, 4, 16, 16), generator=Generator().manual_seed(0)).requires_grad_()
    network = encoder().requires_grad_(requires_grad=False)
    found = MapFeatures(network, (MapKeys(),), norm_x=True).features(images)

    for key, value in found.items():
        (gradient,) = torch.autograd.grad(value.square().sum(), images, retain_graph=True)
        assert gradient.isfinite().all(), key
        assert gradient.abs().max() > 0, key
