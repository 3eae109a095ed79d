"""The fast network gives the features of torch-fidelity's own."""

import numpy as np
import pytest
import torch

from repro.engine.evaluation.fidelity import build_network
from repro.engine.evaluation.network import (
    ConvolutionRelu,
    accelerated,
    pool3_network,
    random_tensors,
    resize_and_normalise,
)
from repro.engine.evaluation.weights import pool3_digest
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import RunError
from tests.engine.evaluation.fakes import some_images

RANDOM_DIGEST = "sha256:036e197031de321e9589af28a1dcebb02e751fa0da07ba8210ee4d69427adbb0"


@pytest.mark.parametrize(("height", "width"), [(8, 8), (32, 20), (64, 64), (299, 299), (310, 320)])
def test_resize_is_that_of_tensorflow_1(height, width):
    """Two matrix products give what torch-fidelity's epsilon-exact gathering gives."""
    ensure_torchvision_importable()
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x,
    )

    images = torch.from_numpy(some_images(2, seed=3, size=320)[:, :height, :width])
    expected = interpolate_bilinear_2d_like_tensorflow1x(
        images.permute(0, 3, 1, 2).float(), size=(299, 299), align_corners=False
    )

    found = resize_and_normalise(images)

    assert torch.allclose(found, (expected - 128) / 128, rtol=0, atol=2e-6)


def test_grey_images_enter_as_three_equal_channels():
    """One channel is repeated, not refused."""
    grey = torch.from_numpy(some_images(2, seed=5, channels=1))

    assert torch.equal(resize_and_normalise(grey), resize_and_normalise(grey.repeat(1, 1, 1, 3)))


def test_features_are_those_of_the_library(tensors, images, pool3):
    """Folded batch norm, channels last and our resize move no feature by more than 2e-5."""
    (expected,) = build_network(tensors)(torch.from_numpy(images).permute(0, 3, 1, 2))

    assert np.abs(pool3 - expected.numpy()).max() < 2e-5


def test_no_batch_norm_is_left(tensors):
    """What is folded need not be computed."""
    names = {type(module).__name__ for module in pool3_network(tensors).modules()}

    assert "Conv2d" in names
    assert "BatchNorm2d" not in names


@pytest.mark.parametrize("batches", [(2, 5), (5, 2)])
def test_one_operation_gives_the_bits_of_two(batches):
    """Also after the batch, for which oneDNN laid the kernel out, has changed."""
    convolution = torch.nn.Conv2d(3, 8, (1, 7), stride=2, padding=(0, 3)).requires_grad_(
        requires_grad=False
    )
    convolution.weight.data = convolution.weight.contiguous(memory_format=torch.channels_last)
    fused = ConvolutionRelu(convolution)
    generator = torch.Generator().manual_seed(4)
    sets = [torch.randn(count, 3, 9, 9, generator=generator) for count in batches]

    for images in (each.to(memory_format=torch.channels_last) for each in sets):
        assert torch.equal(fused(images), convolution(images).relu())


def test_every_convolution_is_one_operation_on_a_cpu(tensors):
    """None of the 94 blocks is left as it was."""
    modules = list(accelerated(pool3_network(tensors), "cpu").modules())

    assert sum(isinstance(module, ConvolutionRelu) for module in modules) == 94
    assert not any(type(module).__name__ == "BasicConv2d" for module in modules)


def test_random_weights_are_the_same_on_every_machine(tensors):
    """`inception_weights = "none"` is one network, not one a run."""
    assert pool3_digest(tensors) == RANDOM_DIGEST


def test_building_draws_no_global_random_number():
    """An evaluation between two training steps leaves training as it was."""
    before = torch.random.get_rng_state()

    random_tensors()

    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("missing", ["Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.bn.bias"])
def test_weights_that_do_not_fit_are_refused(tensors, missing):
    """Loading is strict: a forgotten tensor is named."""
    rest = {name: value for name, value in tensors.items() if name != missing}

    with pytest.raises(RunError, match=missing):
        build_network(rest)
