"""Positives chosen for being near to what was generated."""

import torch
from torch import Tensor


@torch.no_grad()
def nearest_to_generated(
    candidates: Tensor, generated: Tensor, *, num: int, num_random: int
) -> Tensor:
    """Which candidates [classes, K, D] to take as positives: places [classes, num].

    All but *num_random* are those whose nearest generated vector [classes, N, D] of their class is
    nearest; then come the first of the others, which are random when the candidates are in random
    order. Distances are Euclidean; of two equal ones the earlier candidate comes first.
    """
    with torch.autocast(candidates.device.type, enabled=False):
        distances = torch.cdist(
            candidates.float(), generated.float(), compute_mode="donot_use_mm_for_euclid_dist"
        )
    ranked = distances.amin(dim=2).argsort(dim=1, stable=True)
    nearest, others = ranked[:, : num - num_random], ranked[:, num - num_random :]
    return torch.cat([nearest, others.sort(dim=1).values[:, :num_random]], dim=1)
