"""Dense layers as the drifting paper's code starts them."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

HIDDEN_MULTIPLE = 32  # the hidden width of SwiGLU is rounded up to it


class Linear(nn.Linear):
    """A dense layer that starts with Xavier-uniform weights and zero biases."""

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)


def linear(inner: int, outer: int, *, init: Literal["zero", "xavier"]) -> nn.Linear:
    """A dense layer that starts at zero, or as the others do."""
    layer = Linear(inner, outer)
    if init == "zero":
        nn.init.zeros_(layer.weight)
    return layer


def table(num: int, width: int, *, std: float) -> nn.Parameter:
    """Normal vectors [num, width]."""
    return nn.Parameter(torch.empty(num, width).normal_(std=std))


class SwiGlu(nn.Module):
    """Two dense layers with a gate between them (Shazeer 2020): W3 (SiLU(W1 x) * W2 x).

    The hidden width is two thirds of four times *width*, so that three matrices have the weights of
    the usual two, rounded up to a multiple of 32: 2048 for 768, 2752 for 1024.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = -(-(8 * width // 3) // HIDDEN_MULTIPLE) * HIDDEN_MULTIPLE
        self.up = Linear(width, 2 * hidden)
        self.down = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, hidden = self.up(x).chunk(2, dim=-1)
        out: Tensor = self.down(functional.silu(gate) * hidden)
        return out


class Gelu(nn.Module):
    """Two dense layers with GELU between them, the hidden width four times *width*."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = Linear(width, 4 * width)
        self.down = Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(functional.gelu(self.up(x)))
        return out
