"""The generator of the drifting paper: a transformer on patches, called once for an image.

From noise to image in one call, as Deng et al. 2026 (arXiv 2602.04770), section A.2, and their code
have it. The defaults have its published sizes: 132,708,880 parameters (B/2) to 464,450,304 (L/16).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from repro.engine.networks.attention import SelfAttention
from repro.engine.networks.conditioning import STD, Conditioning
from repro.engine.networks.dense import Gelu, Linear, SwiGlu, linear, table
from repro.engine.networks.positions import Rotation, grid_embedding
from repro.errors import RunError
from repro.spec import network as spec_network

EPS = 1e-6


def dit(spec: spec_network.Dit, shape: tuple[int, int, int]) -> "Dit":
    """The generator of images (or latents) of *shape* (channels, height, width), untrained.

    Raises:
        RunError: when patches do not tile the image.
    """
    _, height, width = shape
    if height % spec.patch_size or width % spec.patch_size:
        msg = (
            f"network.patch_size: patches of {spec.patch_size} x {spec.patch_size} do not tile "
            f"{height} x {width}; choose a divisor of both sides"
        )
        raise RunError(msg)
    return Dit(spec, shape)


class Dit(nn.Module):
    """Patches and registers through modulated blocks, and back to the shape of the noise."""

    def __init__(self, spec: spec_network.Dit, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, *sides = shape
        rows, columns = (side // spec.patch_size for side in sides)
        width = spec.num_heads * spec.head_dim
        patch_dim = spec.patch_size**2 * channels
        self.spec = spec
        self.grid = (rows, columns)
        self.conditioning = Conditioning(spec, width)
        self.registers = Registers(spec.num_registers, width) if spec.num_registers else None
        self.patch_embedding = Linear(patch_dim, width)
        placed = spec.position_embedding == "sinusoid"
        self.position_embedding = nn.Parameter(grid_embedding(self.grid, width)) if placed else None
        self.rotation = _rotation(spec, self.grid)
        self.blocks = nn.ModuleList(Block(spec, width) for _ in range(spec.depth))
        self.head = Head(spec, width, patch_dim)

    def forward(
        self, noise: Tensor, labels: Tensor, alpha: Tensor, style: Tensor | None = None
    ) -> Tensor:
        """Images like *noise* [B, C, H, W] of classes *labels* [B] at guidance scales *alpha* [B].

        *style* is int64 [B, num_style_tokens], and nothing where there are no such tokens.
        """
        condition = self.conditioning(labels, alpha, style)
        activated = functional.silu(condition)
        x = self.patch_embedding(to_patches(noise, self.spec.patch_size))
        if self.position_embedding is not None:
            x = x + self.position_embedding
        if self.registers is not None:
            x = torch.cat([self.registers(condition), x], dim=1)
        rounded = self.spec.precision == "bfloat16"
        with torch.autocast(noise.device.type, torch.bfloat16, enabled=rounded):
            for block in self.blocks:
                x = block(x, activated, self.rotation)
        patches = self.head(x[:, self.spec.num_registers :], activated)
        return from_patches(patches, self.grid, self.spec.patch_size)


class Registers(nn.Module):
    """Tokens that stand for no patch: the condition, plus a learned vector for each."""

    def __init__(self, num: int, width: int) -> None:
        super().__init__()
        self.projection = Linear(width, width)
        self.embedding = table(num, width, std=STD)

    def forward(self, condition: Tensor) -> Tensor:
        out: Tensor = self.projection(condition)[:, None] + self.embedding
        return out


class Block(nn.Module):
    """Attention, then a feed-forward part, each normalized, modulated, gated and added (adaLN)."""

    def __init__(self, spec: spec_network.Dit, width: int) -> None:
        super().__init__()
        self.modulation = linear(width, 6 * width, init=spec.adaln_init)
        self.attention_norm = _norm(spec, width)
        self.attention = SelfAttention(spec.num_heads, spec.head_dim, qk_norm=spec.qk_norm)
        self.feed_forward_norm = _norm(spec, width)
        self.feed_forward = SwiGlu(width) if spec.feed_forward == "swiglu" else Gelu(width)

    def forward(self, x: Tensor, activated: Tensor, rotation: nn.Module) -> Tensor:
        """Tokens [B, tokens, width] from x; *activated* [B, width] is the condition after SiLU."""
        parts = _parts(self.modulation, activated, 6)
        shift, scale, gate = parts[:3]
        attended = self.attention(modulate(self.attention_norm(x), shift, scale), rotation)
        x = torch.addcmul(x, gate, attended)
        shift, scale, gate = parts[3:]
        fed = self.feed_forward(modulate(self.feed_forward_norm(x), shift, scale))
        return torch.addcmul(x, gate, fed)


class Head(nn.Module):
    """From tokens to the numbers of their patches."""

    def __init__(self, spec: spec_network.Dit, width: int, patch_dim: int) -> None:
        super().__init__()
        self.modulation = linear(width, 2 * width, init=spec.adaln_init)
        self.norm = _norm(spec, width)
        self.projection = linear(width, patch_dim, init=spec.head_init)

    def forward(self, x: Tensor, activated: Tensor) -> Tensor:
        shift, scale = _parts(self.modulation, activated, 2)
        out: Tensor = self.projection(modulate(self.norm(x), shift, scale))
        return out


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Scale x by 1 + *scale*, then add *shift*."""
    return torch.addcmul(shift, x, 1 + scale)


def to_patches(images: Tensor, size: int) -> Tensor:
    """[B, C, H, W] as [B, patches, size x size x C], both row by row."""
    num, channels, height, width = images.shape
    cells = images.reshape(num, channels, height // size, size, width // size, size)
    return cells.permute(0, 2, 4, 3, 5, 1).reshape(num, -1, size * size * channels)


def from_patches(patches: Tensor, grid: tuple[int, int], size: int) -> Tensor:
    """The images [B, C, H, W] whose patches, *grid* of them, are *patches*."""
    rows, columns = grid
    cells = patches.reshape(len(patches), rows, columns, size, size, -1)
    return cells.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, rows * size, columns * size)


def _parts(layer: nn.Module, activated: Tensor, num: int) -> tuple[Tensor, ...]:
    """Shifts, scales and gates, each [B, 1, width], in float32 whatever the rest computes in."""
    with torch.autocast(activated.device.type, enabled=False):
        out: Tensor = layer(activated)
    return out[:, None].chunk(num, dim=2)


def _rotation(spec: spec_network.Dit, grid: tuple[int, int]) -> nn.Module:
    if spec.rope == "none":
        return nn.Identity()
    return Rotation(spec.rope, num_registers=spec.num_registers, grid=grid, head_dim=spec.head_dim)


def _norm(spec: spec_network.Dit, width: int) -> nn.Module:
    """A norm, with a weight for each channel or without; it subtracts the mean, or not."""
    if spec.norm == "layer":
        return nn.LayerNorm(width, eps=EPS, bias=False)
    return nn.RMSNorm(width, eps=EPS, elementwise_affine=spec.norm == "rms")
