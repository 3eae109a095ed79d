"""A small convolutional generator: one call from noise to an image."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from repro.engine.networks.rounded import rounded
from repro.spec import network as spec_network

GROUP_CHANNELS = 8


def conv_generator(
    spec: spec_network.ConvGenerator, shape: tuple[int, int, int]
) -> "ConvGenerator":
    """The generator of images of *shape* (channels, height, width), untrained."""
    return ConvGenerator(spec, shape)


class ConvGenerator(nn.Module):
    """A dense layer to the coarsest map, then one residual block for each doubling of its sides.

    Noise, class and guidance scale are mapped to one conditioning vector, which every block and the
    head receive as scale and shift. Sides that no power of two divides are rounded up on the way:
    28 is reached through 4, 7 and 14.
    """

    def __init__(self, spec: spec_network.ConvGenerator, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.precision = spec.precision
        channels, height, width = shape
        doublings = range(len(spec.channels) - 1, -1, -1)
        sizes = [(-(-height >> step), -(-width >> step)) for step in doublings]
        dim = spec.conditioning_dim
        self.coarsest = (spec.channels[0], *sizes[0])
        self.class_embedding = nn.Embedding(spec.num_classes, dim)
        self.alpha_embedding = nn.Linear(1, dim)
        self.noise_embedding = nn.Linear(spec.noise_dim, dim)
        self.mapping = nn.Sequential(nn.SiLU(), nn.Linear(dim, dim), nn.SiLU())
        self.stem = nn.Linear(spec.noise_dim, spec.channels[0] * sizes[0][0] * sizes[0][1])
        self.blocks = nn.ModuleList(
            UpBlock(inner, outer, size=size, conditioning_dim=dim)
            for (inner, outer), size in zip(pairwise(spec.channels), sizes[1:], strict=True)
        )
        self.head_norm = Modulation(spec.channels[-1], conditioning_dim=dim)
        self.head = nn.Conv2d(spec.channels[-1], channels, 3, padding=1)

    def forward(self, noise: Tensor, labels: Tensor, alpha: Tensor) -> Tensor:
        """Images [B, C, H, W] in (-1, 1) of *noise* [B, noise_dim], *labels* [B], *alpha* [B]."""
        with rounded(noise, self.precision):
            return torch.tanh(self._activated(noise, labels, alpha).float())

    def _activated(self, noise: Tensor, labels: Tensor, alpha: Tensor) -> Tensor:
        embedding = self.class_embedding(labels) + self.alpha_embedding(alpha.log()[:, None])
        conditioning = self.mapping(embedding + self.noise_embedding(noise))
        x = self.stem(noise).unflatten(1, self.coarsest)
        x = x.contiguous(memory_format=torch.channels_last)  # a fifth faster on a CPU
        for block in self.blocks:
            x = block(x, conditioning)
        activated: Tensor = self.head(self.head_norm(x, conditioning))
        return activated


class UpBlock(nn.Module):
    """Enlarge to *size*, then two convolutions beside a skip."""

    def __init__(
        self, inner: int, outer: int, *, size: tuple[int, int], conditioning_dim: int
    ) -> None:
        super().__init__()
        self.norm_in = Modulation(inner, conditioning_dim=conditioning_dim)
        self.enlarge = nn.Upsample(size=size, mode="nearest")
        self.conv_in = nn.Conv2d(inner, outer, 3, padding=1)
        self.norm_out = Modulation(outer, conditioning_dim=conditioning_dim)
        self.conv_out = nn.Conv2d(outer, outer, 3, padding=1)
        self.skip = nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        hidden = self.conv_in(self.enlarge(self.norm_in(x, conditioning)))
        hidden = self.conv_out(self.norm_out(hidden, conditioning))
        out: Tensor = hidden + self.enlarge(self.skip(x))
        return out


class Modulation(nn.Module):
    """Group normalization, scale and shift from the conditioning, SiLU."""

    def __init__(self, channels: int, *, conditioning_dim: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(num_groups(channels), channels, affine=False)
        self.affine = nn.Linear(conditioning_dim, 2 * channels)

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        scale, shift = self.affine(conditioning)[:, :, None, None].chunk(2, dim=1)
        return nn.functional.silu(self.norm(x) * (1 + scale) + shift)


def num_groups(channels: int) -> int:
    """Groups of eight channels; one group where eight does not divide them."""
    return channels // GROUP_CHANNELS if channels % GROUP_CHANNELS == 0 else 1
