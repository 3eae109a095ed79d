"""The network of the toys."""

import torch
from attrs import evolve

from repro.engine.networks.mlp import mlp
from repro.spec import network as networks


def test_has_the_published_size():
    """32 -> 256 x 3 -> 2 with biases has 140,546 parameters."""
    network = mlp(networks.Mlp())

    assert network(torch.zeros(5, 32)).shape == (5, 2)
    assert sum(each.numel() for each in network.parameters()) == 140_546


def test_starts_where_it_is_told():
    """Points are moved as a whole, and drawn together, by nothing but the last layer."""
    spec = networks.Mlp(hidden=(16,))
    noise = torch.randn((64, 32), generator=torch.Generator().manual_seed(0))
    made = []
    for each in (spec, evolve(spec, start_mean=(-2.5, 1.0), start_scale=0.1)):
        torch.manual_seed(0)
        made.append(mlp(each)(noise))

    torch.testing.assert_close(made[1], 0.1 * made[0] + torch.tensor([-2.5, 1.0]))
