"""The drift loss as the public ports have it, written from the equations.

Batched over all rows of a feature, one temperature after the other, the field under no_grad and the
regression by autograd.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def batched_drift_loss(
    generated: Tensor, positives: Tensor, unconditional: Tensor, *, weight: float
) -> Tensor:
    """The official loss of rows [R, N, C], [R, P, C] and [R, U, C] at its three temperatures."""
    with torch.no_grad():
        unit, drift = _drift(generated, positives, unconditional, weight, (0.02, 0.05, 0.2))
        target = generated / unit + drift
    return (generated / unit - target).square().mean()


def _drift(
    x: Tensor, positives: Tensor, unconditional: Tensor, weight: float, taus: Sequence[float]
) -> tuple[Tensor, Tensor]:
    num, channels = x.shape[1:]
    targets = torch.cat([x, unconditional, positives], dim=1)
    num_negatives = num + unconditional.shape[1]
    w = torch.ones(targets.shape[1])
    w[num:num_negatives] = weight
    gram = torch.bmm(x, targets.transpose(1, 2))
    square = x.square().sum(2)[:, :, None] + targets.square().sum(2)[:, None, :] - 2 * gram
    distance = square.clamp(min=1e-8).sqrt()
    scale = (distance * w).mean() / w.mean()
    unit = (scale / channels**0.5).clamp(min=1e-3)
    targets = targets / unit
    distance = distance / scale.clamp(min=1e-3)
    distance = distance + 100 * torch.eye(num, targets.shape[1])
    total = torch.zeros_like(x)
    for tau in taus:
        logits = -distance / tau
        affinity = (logits.softmax(dim=2) * logits.softmax(dim=1)).clamp(min=1e-6).sqrt() * w
        repel, attract = affinity[:, :, :num_negatives], affinity[:, :, num_negatives:]
        coefficients = torch.cat(
            [
                -repel * attract.sum(dim=2, keepdim=True),
                attract * repel.sum(dim=2, keepdim=True),
            ],
            dim=2,
        )
        drift = torch.bmm(coefficients, targets)
        total = total + drift / drift.square().mean().clamp(min=1e-8).sqrt()
    return unit, total
