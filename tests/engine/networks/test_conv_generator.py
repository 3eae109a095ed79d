"""The generator: any shape, one call, never constant."""

import pytest
import torch
from torch import Generator, Tensor

from repro.engine.networks.conv_generator import ConvGenerator, conv_generator
from repro.spec import network as networks

SHAPES = [(3, 32, 32), (1, 28, 28), (1, 8, 8), (3, 32, 48)]


def untrained(shape: tuple[int, int, int] = (3, 32, 32)) -> ConvGenerator:
    torch.manual_seed(0)
    spec = networks.ConvGenerator(noise_dim=16, channels=(16, 12, 8), conditioning_dim=8)
    return conv_generator(spec, shape)


def noise(num: int) -> Tensor:
    return torch.randn((num, 16), generator=Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_makes_images_of_the_shape(shape: tuple[int, int, int]):
    """Images have the shape of the data and values between -1 and 1."""
    images = untrained(shape)(noise(2), torch.tensor([0, 9]), torch.ones(2))

    assert images.shape == (2, *shape)
    assert images.abs().max() < 1


@torch.no_grad()
def test_untrained_output_is_not_constant():
    """Before training, pixels differ within an image and from image to image."""
    images = untrained()(noise(64), torch.zeros(64, dtype=torch.long), torch.ones(64))

    assert images.std(dim=0).mean() > 0.05
    assert images.std(dim=(1, 2, 3)).mean() > 0.05


@torch.no_grad()
def test_listens_to_class_and_alpha():
    """The same noise makes another image for another class, and for another guidance scale."""
    network = untrained()
    images = network(noise(1).expand(3, -1), torch.tensor([0, 1, 0]), torch.tensor([1.0, 1.0, 3.0]))

    assert (images[1] - images[0]).abs().max() > 1e-3
    assert (images[2] - images[0]).abs().max() > 1e-3


@torch.no_grad()
def test_an_image_ignores_its_batch():
    """An image alone equals the image in a batch of eight to 1e-5."""
    network, labels, alpha = untrained(), torch.arange(8), torch.ones(8)
    together = network(noise(8), labels, alpha)

    alone = network(noise(8)[5:6], labels[5:6], alpha[5:6])

    torch.testing.assert_close(alone[0], together[5], rtol=0, atol=1e-5)


@torch.no_grad()
def test_half_precision_rounds():
    """In bfloat16 an image is that of float32 to about two decimal digits, and not equal."""
    exact = untrained()
    spec = networks.ConvGenerator(
        noise_dim=16, channels=(16, 12, 8), conditioning_dim=8, precision="bfloat16"
    )
    half = conv_generator(spec, (3, 32, 32))
    half.load_state_dict(exact.state_dict())
    given = (noise(2), torch.tensor([0, 9]), torch.ones(2))

    image, other = exact(*given), half(*given)

    assert other.dtype == torch.float32
    torch.testing.assert_close(other, image, rtol=0, atol=0.05)
    assert not torch.equal(other, image)
