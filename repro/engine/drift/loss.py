"""The regression of generated vectors onto themselves moved by their drift field.

No gradient passes through the field, so the loss knows its gradient when its value is computed:
nothing of what the field was made of is kept for the backward pass.
"""

from typing import Any

import torch
from torch import Tensor

from repro.engine.drift.affinity import drift_at
from repro.engine.drift.field import Statistics, compute_drift
from repro.engine.drift.kernels import Move
from repro.spec.objective import DriftField, OverLocations


def drift_loss(
    generated: Tensor,
    positives: Tensor,
    unconditional: Tensor,
    *,
    field: DriftField,
    weights: Tensor,
    over_locations: OverLocations = "mean",
    rows_per_chunk: int | None = None,
    move: Move = drift_at,
) -> tuple[Tensor, Statistics]:
    """The mean of (x/u - sg(x/u + V))^2 over rows, vectors and channels, and what V was scaled by.

    The negatives of a row are its generated vectors [G, L, N, C], less the self pairs, and the
    *unconditional* reals [G, L, U, C] under *weights* [G, U]; the *positives* are [G, L, P, C].
    Locations may be summed instead. The gradient, -2 V / (numel u), goes to *generated* only.

    The value is the mean square of V: under the official rule it is flat by design (1 for one
    temperature), so watch the energies instead.
    """
    drift = compute_drift(
        generated,
        positives,
        unconditional,
        field=field,
        repel_each_other=True,
        weights=weights,
        rows_per_chunk=rows_per_chunk,
        move=move,
    )
    num = drift.field.numel() / (generated.shape[1] if over_locations == "sum" else 1)
    value = torch.linalg.vector_norm(drift.field).square() / num
    gradient = drift.field.mul_((-2 / num) / drift.statistics.unit[:, None, None, None])
    loss: Tensor = _KnownGradient.apply(generated, gradient, value)  # type: ignore[no-untyped-call]
    return loss, drift.statistics


class _KnownGradient(torch.autograd.Function):
    """A scalar whose gradient was formed together with its value."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gradient: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(gradient.to(x.dtype))
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return outer[0].to(gradient.dtype) * gradient, None, None
