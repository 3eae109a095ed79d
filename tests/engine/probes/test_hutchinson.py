"""The trace of a Hessian, estimated without the Hessian."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from repro.engine.networks.unet2d import unet2d
from repro.engine.probes.hutchinson import TraceEstimate, evaluating, hutchinson_trace
from repro.spec.network import UNet2D


def symmetric(size: int) -> Tensor:
    matrix = torch.randn(size, size, dtype=torch.float64, generator=Generator().manual_seed(3))
    return (matrix + matrix.T) / 2


def of_quadratic(matrix: Tensor, **options: Any) -> TraceEstimate:
    """The estimate for x . H x / 2, whose Hessian is the matrix."""
    point = torch.ones(len(matrix), dtype=torch.float64, requires_grad=True)
    return hutchinson_trace(
        lambda _: point @ matrix @ point / 2,
        [point],
        generator=Generator().manual_seed(1),
        **options,
    )


def test_exact_for_a_diagonal_hessian():
    """Rademacher probes of a diagonal Hessian are all equal to its trace."""
    diagonal = torch.diag(torch.arange(1.0, 6.0, dtype=torch.float64))

    estimate = of_quadratic(diagonal, num_probes=3)

    assert (estimate.mean, estimate.std, estimate.sem) == pytest.approx((15, 0, 0))


@pytest.mark.parametrize("vectors", ["rademacher", "gaussian"])
def test_mean_and_spread_of_the_probes(vectors):
    """Unbiased; variance twice the squared off-diagonal, or twice the whole squared norm."""
    matrix = symmetric(20)
    norm = matrix.square().sum()
    varying = norm if vectors == "gaussian" else norm - matrix.diagonal().square().sum()

    estimate = of_quadratic(matrix, num_probes=4000, vectors=vectors)

    assert estimate.sem
    assert abs(estimate.mean - float(matrix.trace())) < 4 * estimate.sem
    assert estimate.std**2 == pytest.approx(float(2 * varying), rel=0.1)


def test_the_closed_form_of_a_linear_model():
    """Mean squared error of x W^T has the trace 2 / (B d_out) d_out sum |x_b|^2."""
    x = torch.randn(6, 4, dtype=torch.float64, generator=Generator().manual_seed(2))
    y = torch.zeros(6, 3, dtype=torch.float64)
    weight = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)

    estimate = hutchinson_trace(
        lambda _: (x @ weight.T - y).square().mean(),
        [weight],
        num_probes=3000,
        generator=Generator().manual_seed(1),
    )

    assert estimate.sem
    assert abs(estimate.mean - float(2 / 6 * x.square().sum())) < 4 * estimate.sem


def test_a_linear_loss_has_no_curvature():
    """Its gradient does not depend on the parameters, so the trace is zero."""
    weight = torch.ones(3, requires_grad=True)

    estimate = hutchinson_trace(
        lambda _: weight.sum(), [weight], num_probes=2, generator=Generator().manual_seed(1)
    )

    assert estimate.per_probe == (0, 0)


def test_probes_may_see_their_own_loss():
    """The number of the probe is given to the loss; the mean is over vectors and losses."""
    weight = torch.ones(2, requires_grad=True)

    estimate = hutchinson_trace(
        lambda probe: probe * weight.square().sum(),
        [weight],
        num_probes=3,
        generator=Generator().manual_seed(1),
    )

    assert (estimate.per_probe, estimate.losses) == ((0, 4, 8), (0, 2, 4))


def test_attention_has_a_second_derivative():
    """The U-Net with self-attention can be probed on a CPU."""
    spec = UNet2D(channels=(8, 8), attention=(False, True), layers_per_block=1, norm_groups=4)
    network = unet2d(spec, (1, 8, 8)).eval()
    images = torch.randn(2, 1, 8, 8, generator=Generator().manual_seed(1))

    estimate = hutchinson_trace(
        lambda _: network(images, torch.tensor([1, 2])).square().mean(),
        list(network.parameters()),
        num_probes=1,
        generator=Generator().manual_seed(1),
    )

    assert estimate.mean != 0


def trained(*, probed: bool) -> tuple[Tensor, Tensor]:
    """Weights and running mean after three steps with dropout, a probe before each or not."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(3):
        if probed:
            with evaluating(network):
                hutchinson_trace(
                    lambda _: network(torch.ones(5, 4)).square().mean(),
                    list(network.parameters()),
                    num_probes=2,
                    generator=Generator().manual_seed(1),
                )
        optimizer.zero_grad()
        network(torch.randn(5, 4)).square().mean().backward()
        optimizer.step()
    running = network[1].running_mean
    assert isinstance(running, Tensor)
    return torch.cat([each.detach().flatten() for each in network.parameters()]), running


def test_a_probe_disturbs_no_training():
    """With a probe before each step the training ends in the same bits: weights and buffers."""
    with torch.random.fork_rng():
        plain, probed = trained(probed=False), trained(probed=True)

    assert all(torch.equal(one, other) for one, other in zip(plain, probed, strict=True))


def test_modes_and_gradients_are_as_they_were():
    """A frozen part of a network that trains stays frozen, and no gradient is left behind."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    network[1].eval()

    with evaluating(network):
        hutchinson_trace(
            lambda _: network(torch.ones(1, 2)).square().mean(),
            list(network.parameters()),
            num_probes=1,
            generator=Generator().manual_seed(1),
        )

    assert [each.training for each in network.modules()] == [True, True, False]
    assert all(each.grad is None for each in network.parameters())
