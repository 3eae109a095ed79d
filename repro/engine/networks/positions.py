"""Where a token is: added to it as sines and cosines, or turning its queries and keys."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

BASE = 10_000.0


def angles(positions: Tensor, num_frequencies: int) -> Tensor:
    """Positions [...] times frequencies that fall from 1 to 1 / 10,000: [..., num_frequencies].

    In the precision of *positions*: those of a sequence come as float64, in which an angle of
    hundreds keeps its fraction.
    """
    steps = torch.arange(num_frequencies, dtype=positions.dtype, device=positions.device)
    return positions[..., None] * BASE ** (-steps / num_frequencies)


def grid_embedding(grid: tuple[int, int], width: int) -> Tensor:
    """Sines and cosines of row, then of column, for every cell of *grid*: float32 [cells, width].

    *width* is a multiple of 4; rows come one after the other.
    """
    turned = angles(cells(grid), width // 4)
    return torch.cat([turned.sin(), turned.cos()], dim=2).flatten(1).float()


class Rotation(nn.Module):
    """Turns queries and keys by the place of their token, registers before patches (RoPE).

    Channel i of the first half is turned with channel i of the second. In `1d` the place is that in
    the sequence, registers included. In `2d` the row turns one half of the pairs and the column the
    other; registers stay as they are.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(
        self,
        kind: Literal["1d", "2d"],
        *,
        num_registers: int,
        grid: tuple[int, int],
        head_dim: int,
    ) -> None:
        super().__init__()
        if kind == "1d":
            num_tokens = num_registers + grid[0] * grid[1]
            turned = angles(torch.arange(num_tokens, dtype=torch.float64), head_dim // 2)
        else:
            positions = functional.pad(cells(grid), (0, 0, num_registers, 0))
            turned = angles(positions, head_dim // 4).flatten(1)
        self.register_buffer("cosine", turned.cos().float(), persistent=False)
        self.register_buffer("sine", turned.sin().float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn x [..., tokens, head_dim]; no length changes."""
        first, second = x.chunk(2, dim=-1)
        return torch.cat(
            [
                first * self.cosine - second * self.sine,
                second * self.cosine + first * self.sine,
            ],
            dim=-1,
        )


def cells(grid: tuple[int, int]) -> Tensor:
    """Row and column of every cell, rows one after the other: float64 [cells, 2]."""
    return torch.cartesian_prod(*(torch.arange(length, dtype=torch.float64) for length in grid))
