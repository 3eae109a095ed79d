"""The drift field again, for the tests to hold the package to."""

from collections.abc import Sequence

import torch
from torch import Tensor

from repro.engine.drift import Drift
from repro.spec.objective import Coupling, Rule


@torch.no_grad()
def reference_drift(
    generated: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    drop_self_pairs: bool,
    temperatures: Sequence[float],
    weights: Tensor | None = None,
    rule: Rule = "official",
    coupling: Coupling = "joint",
    affinity_floor: float | None = None,
) -> Drift:
    """`compute_drift` spelled out in float64, straight from the definitions and slow.

    Distances of explicit differences, softmaxes, the masks that the sources add to a self pair, and
    every target's pull summed. It shares no code and no constant with the package.
    """
    x, y, z = generated.double(), positives.double(), negatives.double()
    w = torch.ones_like(z[..., 0]) if weights is None else weights.double()
    w = torch.cat([w, torch.ones_like(y[..., 0])], dim=1)
    targets = torch.cat([z, y], dim=1)
    difference = targets[:, None, :, :] - x[:, :, None, :]
    distance = difference.square().sum(dim=3).clamp_min(1e-8).sqrt()
    scale = (w[:, None, :] * distance).mean() / w.mean()
    official = rule == "official"
    floor = affinity_floor if affinity_floor is not None else 1e-6 if official else 0.0
    unit = (scale / x.shape[2] ** 0.5).clamp_min(1e-3) if official else scale.new_ones(())
    if official:
        distance = distance / scale.clamp_min(1e-3)
    if drop_self_pairs:
        mask = torch.eye(x.shape[1], targets.shape[1], dtype=torch.float64, device=x.device)
        distance = distance + mask * (100.0 if official else 1e6)
    total, energies = torch.zeros_like(x), []
    for temperature in temperatures:
        logits = -distance / temperature
        sides = (slice(None, z.shape[1]), slice(z.shape[1], None))
        joint = logits.softmax(dim=2)
        alone = torch.cat([logits[:, :, side].softmax(dim=2) for side in sides], dim=2)
        over_targets = joint if coupling == "joint" else alone
        product = over_targets * logits.softmax(dim=1)
        affinity = product.clamp_min(floor).sqrt() * w[:, None, :]
        repel, attract = affinity[:, :, sides[0]], affinity[:, :, sides[1]]
        pull = repel.sum(2)[..., None] * torch.einsum("rnp,rpc->rnc", attract, y / unit)
        push = attract.sum(2)[..., None] * torch.einsum("rnm,rmc->rnc", repel, z / unit)
        energies.append((pull - push).square().mean())
        norm = energies[-1].clamp_min(1e-8).sqrt() if official else 1.0
        total += (pull - push) / norm
    return Drift(field=total, unit=unit, scale=scale, energies=torch.stack(energies))
