"""The network of the toys."""

import torch

from repro.engine.networks.mlp import mlp
from repro.spec import network as networks


def test_has_the_published_size():
    """32 -> 256 x 3 -> 2 with biases has 140,546 parameters."""
    network = mlp(networks.Mlp())

    assert network(torch.zeros(5, 32)).shape == (5, 2)
    assert sum(each.numel() for each in network.parameters()) == 140_546
