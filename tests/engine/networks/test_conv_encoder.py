"""The encoder: a classifier whose stages are features."""

import pytest
import torch
from torch import Generator, Tensor

from repro.engine.networks.conv_encoder import ConvEncoder, conv_encoder
from repro.spec import network as networks
from repro.spec.map_keys import MapKeys


def encoder(shape: tuple[int, int, int]) -> ConvEncoder:
    torch.manual_seed(0)
    return conv_encoder(networks.ConvEncoder(channels=(8, 12, 16)), shape, 10)


def images(num: int, *shape: int) -> Tensor:
    return torch.rand((num, *shape), generator=Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("shape", "locations"),
    [((3, 32, 32), (16, 16, 16)), ((1, 28, 28), (16, 16, 16)), ((1, 8, 8), (16, 16, 4))],
)
@torch.no_grad()
def test_keys_and_shapes(shape: tuple[int, int, int], locations: tuple[int, ...]):
    """Each stage gives locations, a mean and a deviation; the input gives its channels' norms."""
    features = encoder(shape).features(images(2, *shape))

    expected = {"norm_x": (2, 1, shape[0])}
    for index, (num, width) in enumerate(zip(locations, (8, 12, 16), strict=True), start=1):
        expected |= {
            f"stage{index}": (2, num, width),
            f"stage{index}_mean": (2, 1, width),
            f"stage{index}_std": (2, 1, width),
        }
    assert {key: tuple(value.shape) for key, value in features.items()} == expected


@torch.no_grad()
def test_features_are_statistics_of_the_maps():
    """Locations, mean and biased deviation are those of the map they come from."""
    network, x = encoder((3, 32, 32)), images(2, 3, 32, 32)
    features, stage = network.features(x), network.maps(x)[0]

    torch.testing.assert_close(features["stage1"][:, 1], stage[:, :, 4, 12])
    torch.testing.assert_close(features["stage1_mean"][:, 0], stage.mean(dim=(2, 3)))
    deviation = stage.std(dim=(2, 3), correction=0)
    torch.testing.assert_close(features["stage1_std"][:, 0], deviation, rtol=1e-4, atol=1e-4)
    norm = x.square().mean(dim=(2, 3)).sqrt()
    torch.testing.assert_close(features["norm_x"][:, 0], norm, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_features_ignore_the_batch():
    """An image alone has the features it has in a batch of four, to 1e-5."""
    network, x = encoder((3, 32, 32)), images(4, 3, 32, 32)
    together, alone = network.features(x), network.features(x[2:3])

    for key, value in alone.items():
        torch.testing.assert_close(value[0], together[key][2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", [-1.0, 0.0])
def test_a_flat_image_has_a_gradient(level: float):
    """Deviations and norms of nothing do not divide by zero."""
    x = torch.full((1, 3, 32, 32), level, requires_grad=True)

    sum(each.sum() for each in encoder((3, 32, 32)).features(x).values()).backward()  # type: ignore[union-attr]

    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_logits():
    """As a classifier it gives a logit for each class."""
    assert encoder((1, 28, 28))(images(2, 1, 28, 28)).shape == (2, 10)


@torch.no_grad()
def test_a_spec_names_its_vectors():
    """With `features` a stage gives the vectors of these statistics, and no others."""
    keys = (MapKeys(taps=("stage2",), statistics=("mean-std", "patches-4")),)
    spec = networks.ConvEncoder(channels=(8, 12), features=keys)
    torch.manual_seed(0)

    features = conv_encoder(spec, (3, 32, 32), 10).features(images(2, 3, 32, 32))

    assert {key: tuple(value.shape) for key, value in features.items()} == {
        "norm_x": (2, 1, 3),
        "stage2_mean": (2, 1, 12),
        "stage2_std": (2, 1, 12),
        "stage2_mean_4": (2, 16, 12),
        "stage2_std_4": (2, 16, 12),
    }


@torch.no_grad()
def test_half_precision_rounds():
    """The maps are those of float32 to about two decimal digits, in float32, and not equal."""
    exact, x = encoder((3, 32, 32)), images(2, 3, 32, 32)
    spec = networks.ConvEncoder(channels=(8, 12, 16), precision="bfloat16")
    half = conv_encoder(spec, (3, 32, 32), 10)
    half.load_state_dict(exact.state_dict())

    for one, other in zip(exact.maps(x), half.maps(x), strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, one, rtol=0.05, atol=0.05)
        assert not torch.equal(other, one)
