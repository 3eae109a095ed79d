"""The multilayer perceptron of the two-dimensional toys."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from repro.spec import network as spec_network

POINT_DIM = 2


def mlp(spec: spec_network.Mlp) -> nn.Module:
    """A network from noise [B, noise_dim] to points [B, 2], with SiLU between dense layers."""
    return Mlp(spec)


class Mlp(nn.Module):
    """Dense layers with SiLU between them."""

    def __init__(self, spec: spec_network.Mlp) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, next_width in pairwise((spec.noise_dim, *spec.hidden)):
            layers += [nn.Linear(width, next_width), nn.SiLU()]
        last = nn.Linear((spec.noise_dim, *spec.hidden)[-1], POINT_DIM)
        with torch.no_grad():
            last.weight.mul_(spec.start_scale)
            last.bias.mul_(spec.start_scale).add_(torch.tensor(spec.start_mean))
        self.layers = nn.Sequential(*layers, last)

    def forward(self, noise: Tensor) -> Tensor:
        points: Tensor = self.layers(noise)
        return points
