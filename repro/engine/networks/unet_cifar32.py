"""The U-Net of the study E7: its layers in its order, so that parameters can be counted alike.

Differences from the U-Net of Ho et al. (2020): no attention, one block at the bottom, skips joined
by a 1 x 1 convolution before each block of the way up, a last layer that is not zero at first, and
a time embedding whose frequencies may be upside down.
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from repro.errors import RunError
from repro.spec.unet_cifar32 import SIDE_DIVISOR
from repro.spec.unet_cifar32 import UNetCifar32 as Spec

MULTIPLIERS = (1, 2, 2, 2)
NUM_BLOCKS = 2
NUM_GROUPS = 32
EMBEDDING_DIM = 512
HIGHEST = 10_000.0


def unet_cifar32(spec: Spec, shape: tuple[int, int, int]) -> "UNetCifar32":
    """The untrained network for images of *shape* (channels, height, width).

    Raises:
        RunError: when the sides cannot be halved three times.
    """
    _, height, width = shape
    if height % SIDE_DIVISOR or width % SIDE_DIVISOR:
        msg = (
            f"network: unet-cifar32 halves the image three times, which {height} x {width} does "
            "not allow; use unet2d with fewer channels"
        )
        raise RunError(msg)
    return UNetCifar32(spec, channels=shape[0])


def time_embedding(levels: Tensor, *, order: Literal["standard", "inverted"]) -> Tensor:
    """Sines, then cosines, of integer levels [B] at 256 frequencies: float32 [B, 512].

    `inverted` frequencies are computed as the study did, in single precision: at 10^7 radians about
    one radian is lost.
    """
    exponents = torch.linspace(0, math.log(HIGHEST), EMBEDDING_DIM // 2, device=levels.device)
    frequencies = torch.exp(exponents if order == "inverted" else -exponents)
    angles = levels[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class UNetCifar32(nn.Module):
    """A denoiser: predictions [B, C, H, W] for noised images z [B, C, H, W] at levels [B]."""

    def __init__(self, spec: Spec, *, channels: int) -> None:
        super().__init__()
        self.order = spec.time_embedding
        widths = [spec.base_channels * each for each in MULTIPLIERS]
        self.time = nn.Sequential(
            nn.Linear(EMBEDDING_DIM, EMBEDDING_DIM),
            nn.SiLU(),
            nn.Linear(EMBEDDING_DIM, EMBEDDING_DIM),
        )
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(_Down(*step, dropout=spec.dropout) for step in steps)
        self.middle = _Block(widths[-1], widths[-1], dropout=spec.dropout)
        above = [widths[-1], *(finer for finer, _ in reversed(steps))]
        self.up = nn.ModuleList(
            _Up(above[i], skip, finer, finest=i == len(steps) - 1, dropout=spec.dropout)
            for i, (finer, skip) in enumerate(reversed(steps))
        )
        self.norm = nn.GroupNorm(NUM_GROUPS, widths[0])
        self.last = nn.Conv2d(widths[0], channels, 3, padding=1)

    def forward(self, z: Tensor, levels: Tensor) -> Tensor:
        time = self.time(time_embedding(levels, order=self.order))
        hidden, skips = self.first(z), []
        for down in self.down:
            hidden, seen = down(hidden, time)
            skips += seen
        hidden = self.middle(hidden, time)
        for up in self.up:
            hidden = up(hidden, skips, time)
        prediction: Tensor = self.last(silu(self.norm(hidden)))
        return prediction


class _Block(nn.Module):
    """A residual block; the time is added between its two convolutions."""

    def __init__(self, before: int, after: int, *, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(NUM_GROUPS, before)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.time = nn.Linear(EMBEDDING_DIM, after)
        self.norm2 = nn.GroupNorm(NUM_GROUPS, after)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = self.conv1(silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        hidden = self.conv2(self.dropout(silu(self.norm2(hidden))))
        total: Tensor = self.skip(x) + hidden
        return total


class _Down(nn.Module):
    """Blocks at one resolution, whose outputs are skips, then half the sides."""

    def __init__(self, before: int, after: int, *, dropout: float) -> None:
        super().__init__()
        widths = [before, *[after] * NUM_BLOCKS]
        self.blocks = nn.ModuleList(_Block(*pair, dropout=dropout) for pair in pairwise(widths))
        self.shrink = nn.Conv2d(after, after, 3, stride=2, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for block in self.blocks:
            x = block(x, time)
            skips.append(x)
        return self.shrink(x), skips


class _Up(nn.Module):
    """Skips joined and blocks at one resolution, then twice the sides unless they are whole.

    The first skip is twice as large as what comes from below the bottom: that is enlarged first.
    """

    def __init__(self, before: int, skip: int, after: int, *, finest: bool, dropout: float) -> None:
        super().__init__()
        widths = [before, *[after] * (NUM_BLOCKS - 1)]
        self.join = nn.ModuleList(nn.Conv2d(width + skip, after, 1) for width in widths)
        self.blocks = nn.ModuleList(
            _Block(after, after, dropout=dropout) for _ in range(NUM_BLOCKS)
        )
        self.enlarge = nn.Identity() if finest else nn.Conv2d(after, after, 3, padding=1)
        self.finest = finest

    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor) -> Tensor:
        for join, block in zip(self.join, self.blocks, strict=True):
            skip = skips.pop()
            if x.shape[2:] != skip.shape[2:]:
                x = interpolate(x, size=skip.shape[2:], mode="nearest")
            x = block(join(torch.cat([x, skip], dim=1)), time)
        if self.finest:
            return x
        enlarged: Tensor = self.enlarge(interpolate(x, scale_factor=2.0, mode="nearest"))
        return enlarged
