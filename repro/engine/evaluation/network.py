"""The Inception network made fast without moving its features: same graph, folded, channels last.

Batch norm in evaluation mode is a fixed scale and shift, which goes into the convolution before it;
channels-last memory is what CPU kernels want; on a CPU each convolution and its ReLU are one oneDNN
operation whose kernel is laid out once. Features move by rounding only (2e-5 at most), and the
probe of every evaluation says so.
"""

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from repro.engine.evaluation.fidelity import build_network
from repro.engine.evaluation.weights import Tensors, random_weights

INPUT_SIZE: Final = 299

STEPS: Final = (
    "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1",
    "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2",
    "Mixed_5b", "Mixed_5c", "Mixed_5d",
    "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e",
    "Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool",
)  # fmt: skip
"""The order of torch-fidelity's forward pass, from the resized image to pool3."""


def pool3_network(tensors: Tensors) -> nn.Sequential:
    """From resized, normalised images [B, 3, 299, 299] to pool3 features [B, 2048], folded."""
    network = build_network(tensors)
    for block in network.modules():
        _fold(block)
    steps = [network.get_submodule(name) for name in STEPS]
    return nn.Sequential(*steps, nn.Flatten()).eval().requires_grad_(requires_grad=False)


def accelerated(network: nn.Sequential, device: str) -> nn.Sequential:
    """The same network as torch runs it fastest on a device; *network* is used up."""
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if torch.device(device).type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        for parent in list(network.modules()):
            for name, block in parent.named_children():
                if isinstance(getattr(block, "bn", None), nn.Identity):  # convolution, norm, ReLU
                    setattr(parent, name, ConvolutionRelu(block.get_submodule("conv")))
    return network


class ConvolutionRelu(nn.Module):
    """A convolution and its ReLU as one oneDNN operation: the bits of the two, less memory moved.

    oneDNN lays the kernel out for the first batch that it sees; batches may change afterwards.
    """

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self._convolution: Any = convolution
        self._laid_out: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C', H', W'], channels last."""
        plain = self._convolution
        shape = (plain.padding, plain.stride, plain.dilation, plain.groups)
        if self._laid_out is None:
            self._laid_out = torch.ops.mkldnn._reorder_convolution_weight(
                plain.weight, *shape, images.shape
            )
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
            images, self._laid_out, plain.bias, *shape, "relu", [], ""
        )
        return fused


def random_tensors() -> Tensors:
    """Every tensor of the network, classifier included, in its stable random initialisation."""
    shapes = {
        name: tuple(value.shape)
        for name, value in build_network(None).state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    return random_weights(shapes.items())


def resize_and_normalise(images: Tensor) -> Tensor:
    """uint8 [B, H, W, C] to float32 [B, 3, 299, 299] in about [-1, 1].

    TensorFlow 1's bilinear resize (no antialias, corners aligned to the origin) is linear in each
    axis, so it is two small matrix products. A grey image enters as three equal channels.
    """
    batch, height, width, channels = images.shape
    pixels = (images.permute(0, 3, 1, 2).to(torch.float32) - 128.0) / 128.0
    rows = _weights(height).to(images.device)
    columns = _weights(width).to(images.device)
    wide = pixels.reshape(-1, width) @ columns.T
    resized = rows @ wide.reshape(batch, channels, height, INPUT_SIZE)
    return resized.expand(-1, 3, -1, -1)


def _weights(size: int) -> Tensor:
    """Interpolation weights [299, size] of one axis."""
    position = np.arange(INPUT_SIZE, dtype=np.float32) * np.float32(size / INPUT_SIZE)
    low = position.astype(np.int64)
    high = np.minimum(low + 1, size - 1)
    share = position - low.astype(np.float32)
    rows = np.arange(INPUT_SIZE)
    matrix = np.zeros((INPUT_SIZE, size), dtype=np.float32)
    np.add.at(matrix, (rows, low), 1.0 - share)
    np.add.at(matrix, (rows, high), share)
    return torch.from_numpy(matrix)


def _fold(block: nn.Module) -> None:
    """Move the batch norm of a convolution block into its kernel, computed in float64."""
    convolution, norm = getattr(block, "conv", None), getattr(block, "bn", None)
    if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        return
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return
    scale = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
    kernel = convolution.weight.double() * scale[:, None, None, None]
    shift = norm.bias.double() - mean.double() * scale
    convolution.weight = nn.Parameter(kernel.float(), requires_grad=False)
    convolution.bias = nn.Parameter(shift.float(), requires_grad=False)
    block.bn = nn.Identity()
