"""The loss of the authors' released code, line by line, against ours."""

import pytest
import torch
from torch import Tensor

from repro.engine.drift import drift_loss, guidance_weight
from repro.spec.objective import DriftField
from tests.engine.drift.batches import assert_close, gaussian


def released(
    gen: Tensor, pos: Tensor, unc: Tensor, w_unc: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loss, its gradient, scale and energies of rows [R, N | P | U, C] under weights [R, U].

    Distances in the Gram form, a finite mask, coefficients in one matrix: as the code has them.
    """
    (rows, n, channels), u = gen.shape, unc.shape[1]
    targets = torch.cat([gen, unc, pos], dim=1)
    w = torch.cat([torch.ones_like(gen[..., 0]), w_unc, torch.ones_like(pos[..., 0])], dim=1)
    lengths = gen.square().sum(2)[:, :, None] + targets.square().sum(2)[:, None]
    d = (lengths - 2 * gen @ targets.transpose(1, 2)).clamp_min(1e-8).sqrt()
    scale = (w[:, None] * d).mean() / w.mean()
    unit = (scale / channels**0.5).clamp_min(1e-3)
    d = d / scale.clamp_min(1e-3)
    d[:, range(n), range(n)] += 100
    total, energies = torch.zeros_like(gen), []
    for tau in (0.02, 0.05, 0.2):
        logits = -d / tau
        a = (logits.softmax(2) * logits.softmax(1)).clamp_min(1e-6).sqrt() * w[:, None]
        negative, positive = a[:, :, : n + u], a[:, :, n + u :]
        coefficients = torch.cat(
            [-negative * positive.sum(2, keepdim=True), positive * negative.sum(2, keepdim=True)], 2
        )
        drift = coefficients @ (targets / unit)
        energies.append(drift.square().mean())
        total += drift / energies[-1].clamp_min(1e-8).sqrt()
    loss = total.square().mean(dim=(1, 2)).mean()
    return loss, -2 * total / (rows * n * channels * unit), scale, torch.stack(energies)


@pytest.mark.parametrize("locations", [1, 3])
@pytest.mark.parametrize(
    ("width", "offset"),
    [(1.0, 0.0), (1.0, 20.0), (0.0, 0.0), (1e-4, 1.0)],
    ids=["near", "far", "all zero", "collapsed"],
)
def test_equals_the_released_code(locations: int, width: float, offset: float):
    """Value, gradient, scale and energies, wherever the samples are, one class without guidance."""
    x = (width * gaussian(4, locations, 16, 8) + offset).requires_grad_()
    y, z = gaussian(4, locations, 12, 8, seed=1), gaussian(4, locations, 6, 8, seed=2)
    alpha = torch.tensor([1.0, 1.5, 2.0, 4.0], dtype=torch.float64)
    weights = guidance_weight(alpha, num_generated=16, num_unconditional=6)[:, None].expand(-1, 6)

    loss, statistics = drift_loss(x, y, z, field=DriftField(), weights=weights)
    (gradient,) = torch.autograd.grad(loss, x)

    gen, pos, unc = (each.detach().flatten(0, 1) for each in (x, y, z))
    expected, of_rows, scale, energies = released(
        gen, pos, unc, weights.repeat_interleave(locations, dim=0)
    )
    assert_close(loss.detach(), expected)
    assert_close(gradient.flatten(0, 1) / of_rows.abs().max(), of_rows / of_rows.abs().max())
    assert_close(statistics.scale[0], scale)
    assert_close(statistics.energies[:, 0], energies)
