"""The drift field in float64, straight from the definitions: what the fast path is held to."""

import torch
from torch import Tensor

from repro.engine.drift.field import Drift, Statistics
from repro.spec.objective import DriftField


@torch.no_grad()
def reference_drift(
    generated: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    field: DriftField,
    repel_each_other: bool,
    weights: Tensor | None = None,
) -> Drift:
    """`compute_drift` spelled out in float64, of one process, and slow.

    Distances of explicit differences, softmaxes, infinite masks, and the two mean shifts by name.
    It shares no mathematics and no constant with the fast path.
    """
    x, y, z = generated.double(), positives.double(), negatives.double()
    w = z.new_ones(z.shape[0], z.shape[2]) if weights is None else weights.double()
    if repel_each_other:
        z = torch.cat([x, z], dim=2)
        w = torch.cat([w.new_ones(len(w), x.shape[2]), w], dim=1)
    targets = torch.cat([z, y], dim=2)
    w = torch.cat([w, w.new_ones(len(w), y.shape[2])], dim=1)[:, None, None, :]
    whose = (0, 1, 2, 3) if field.statistics == "batch" else (1, 2, 3)

    difference = targets[:, :, None, :, :] - x[:, :, :, None, :]
    distance = difference.square().sum(dim=4).clamp_min(1e-8).sqrt()
    scale = (w * distance).mean(dim=whose, keepdim=True) / w.mean(dim=whose, keepdim=True)
    unit = torch.ones_like(scale)
    if field.rule == "official":
        unit = (scale / x.shape[3] ** 0.5).clamp_min(1e-3)
        distance = distance / scale.clamp_min(1e-3)
        x, y, z = x / unit, y / unit, z / unit
    self_pair = torch.eye(x.shape[2], targets.shape[2], device=x.device, dtype=torch.bool)
    if repel_each_other:
        distance = distance.masked_fill(self_pair, torch.inf)

    total, energies = torch.zeros_like(x), []
    for temperature in field.temperatures:
        affinity = _affinity(distance / temperature, w, field=field, num_negatives=z.shape[2])
        towards, away = _mean_shifts(affinity, x, y, z)
        drift = field.attraction * towards - field.repulsion * away
        energy = drift.square().mean(dim=whose, keepdim=True)
        total += drift / energy.clamp_min(1e-8).sqrt() if field.rule == "official" else drift
        energies.append(energy.flatten())
    return Drift(
        field=total,
        statistics=Statistics(
            scale=scale.flatten(), unit=unit.flatten(), energies=torch.stack(energies)
        ),
    )


def _mean_shifts(affinity: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """V+ and V-, with the common factor S+ S-."""
    repel, attract = affinity[..., : z.shape[2]], affinity[..., z.shape[2] :]
    repelled = repel.sum(dim=3, keepdim=True)
    attracted = attract.sum(dim=3, keepdim=True)
    return repelled * (attract @ y - attracted * x), attracted * (repel @ z - repelled * x)


def _affinity(distance: Tensor, w: Tensor, *, field: DriftField, num_negatives: int) -> Tensor:
    logits = -distance if field.kernel == "laplace" else -distance.square() / 2
    weighted = logits + w.log() if field.weights_enter == "logits" else logits
    joint = weighted.softmax(dim=3)
    alone = torch.cat(
        [weighted[..., :num_negatives].softmax(3), weighted[..., num_negatives:].softmax(3)], dim=3
    )
    over_targets = (joint if field.coupling == "joint" else alone).nan_to_num(0.0)
    over_generated = weighted.softmax(dim=2).nan_to_num(0.0)
    squared = {
        "both": over_targets * over_generated,
        "targets": over_targets.square(),
        "none": weighted.exp().square(),
    }[field.normalized_over]
    affinity = squared.clamp_min(field.affinity_floor).sqrt()
    return affinity * (w > 0) if field.weights_enter == "logits" else affinity * w
