"""The U-Net of the STL-10 log, layer for layer, so that what it can and cannot learn can be shown.

Levels are embedded by 256 standard sines and cosines and a small network. In each of four blocks a
residual block comes first; what it puts out is added to what attention makes of it. The way up
halves channels after enlarging, and takes what the way down had at that size after its block.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.engine.networks.condition import conditioner
from repro.engine.networks.conditional import embedder, refuse_unconditioned
from repro.errors import RunError
from repro.spec import conditional as spec_conditional

LEVEL_WIDTH = 256
NUM_BLOCKS = 4
SELF_ATTENTION = (False, True, True, False)
COARSEST = 4


def unet_stl10(spec: spec_conditional.UNetStl10, shape: tuple[int, int, int]) -> "UNetStl10":
    """The untrained network for images of *shape* (channels, height, width).

    Raises:
        ResourceError: the condition's table cannot be read.
        RunError: 4 does not divide the sides, or a block that should attend does not.
    """
    _, height, width = shape
    if height % COARSEST or width % COARSEST:
        msg = f"network: it halves the image twice, which {height} x {width} does not allow"
        raise RunError(msg)
    network = UNetStl10(spec, channels=shape[0])
    attends = spec.enters == "cross-attention"
    refuse_unconditioned(network, expected=NUM_BLOCKS if attends else 0)
    return network


class UNetStl10(nn.Module):
    """Two blocks down, two up, and three convolutions on what the first block put out as well."""

    def __init__(self, spec: spec_conditional.UNetStl10, *, channels: int) -> None:
        super().__init__()
        attends = spec.enters == "cross-attention"
        self.condition = conditioner(spec.condition, width=LEVEL_WIDTH)
        self.null_label = self.condition.null_label
        self.project = None if attends else embedder(self.condition, width=LEVEL_WIDTH)
        self.level = nn.Sequential(
            nn.Linear(LEVEL_WIDTH, LEVEL_WIDTH), nn.SiLU(), nn.Linear(LEVEL_WIDTH, LEVEL_WIDTH)
        )
        self.stem = nn.Conv2d(channels, spec.channels[0], 3, padding=1)
        context = self.condition.dim if attends else None
        first, *widths = spec.channels
        taken = (first, widths[0], widths[1], widths[2] // 2 + widths[1])
        blocks = [
            Block(spec, inner, outer, attends=attention, context=context)
            for inner, outer, attention in zip(taken, widths, SELF_ATTENTION, strict=True)
        ]
        self.down = nn.ModuleList(blocks[:2])
        self.up = nn.ModuleList(blocks[2:])
        self.halve = nn.ModuleList(nn.Conv2d(each, each, 3, 2, padding=1) for each in widths[:2])
        self.enlarge = nn.ModuleList(nn.Conv2d(each, each, 3, padding=1) for each in widths[2:])
        self.narrow = nn.ModuleList(nn.Conv2d(each, each // 2, 1) for each in widths[2:])
        joined = widths[3] // 2 + widths[0]
        self.head = nn.Sequential(
            nn.Conv2d(joined, joined // 2, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(joined // 2, joined // 2, 3, padding=1),
            nn.SiLU(),
        )
        self.out = nn.Conv2d(joined // 2, channels, 1)
        for each in self.out.parameters():
            nn.init.zeros_(each)

    def forward(self, z: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
        """A prediction [B, C, H, W] for images z [B, C, H, W] at *levels* [B] of *labels* [B]."""
        tokens = self.condition(labels)
        told = self.level(sinusoid(levels))
        if self.project is not None:
            told, tokens = told + self.project(tokens.flatten(1)), None
        x, kept = self.stem(z), []
        for block, halve in zip(self.down, self.halve, strict=True):
            x = block(x, told, tokens)
            kept.append(x)
            x = halve(x)
        for block, enlarge, narrow in zip(self.up, self.enlarge, self.narrow, strict=True):
            x = functional.interpolate(block(x, told, tokens), scale_factor=2.0, mode="nearest")
            x = torch.cat([narrow(enlarge(x)), kept.pop()], dim=1)
        prediction: Tensor = self.out(self.head(x))
        return prediction

    def cross_attention_layers(self) -> int:
        """How many blocks attend to the condition."""
        return sum(block.cross is not None for block in (*self.down, *self.up))


class Block(nn.Module):
    """A residual block, and what attention makes of it beside it."""

    def __init__(
        self,
        spec: spec_conditional.UNetStl10,
        inner: int,
        outer: int,
        *,
        attends: bool,
        context: int | None,
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(spec.norm_groups, inner),
            nn.SiLU(),
            nn.Conv2d(inner, outer, 3, padding=1),
        )
        self.told = nn.Sequential(nn.SiLU(), nn.Linear(LEVEL_WIDTH, outer))
        self.second = nn.Sequential(
            nn.Dropout(spec.dropout),
            nn.GroupNorm(spec.norm_groups, outer),
            nn.SiLU(),
            nn.Conv2d(outer, outer, 3, padding=1),
        )
        self.skip = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)
        self.own = Attention(outer, outer, spec) if attends else None
        self.cross = None if context is None else Attention(outer, context, spec)

    def forward(self, x: Tensor, told: Tensor, tokens: Tensor | None) -> Tensor:
        """Maps [B, outer, H, W] of x [B, inner, H, W], *told* [B, 256] and *tokens* [B, L, D]."""
        h = self.first(x) + self.told(told)[:, :, None, None]
        residual: Tensor = self.skip(x) + self.second(h)
        flat = attended = residual.flatten(2).transpose(1, 2)
        if self.own is not None:
            attended = self.own(flat, flat)
        if self.cross is not None and tokens is not None:
            attended = self.cross(attended, tokens)
        return residual + attended.transpose(1, 2).reshape(residual.shape)


class Attention(nn.Module):
    """Several heads, no bias, no norm, no skip of its own."""

    def __init__(self, dim: int, context: int, spec: spec_conditional.UNetStl10) -> None:
        super().__init__()
        self.num_heads, self.dropout = spec.num_heads, spec.dropout
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(context, dim, bias=False)
        self.to_v = nn.Linear(context, dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """What the places x [B, N, dim] take from *context* [B, L, D]."""
        q, k, v = (
            each.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for each in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        chance = self.dropout if self.training else 0.0
        taken = functional.scaled_dot_product_attention(q, k, v, dropout_p=chance)
        out: Tensor = self.to_out(taken.transpose(1, 2).flatten(2))
        return out


def sinusoid(levels: Tensor) -> Tensor:
    """Sines and cosines [B, 256] of levels [B], in turn (Vaswani et al. 2017, section 3.5)."""
    steps = torch.arange(0, LEVEL_WIDTH, 2, device=levels.device)
    angles = levels[:, None] * torch.exp(steps * (-math.log(10_000.0) / LEVEL_WIDTH))
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
