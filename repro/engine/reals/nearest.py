"""Positives that are chosen for being near to what was generated."""

from collections.abc import Mapping

import torch
from torch import Tensor

from repro.errors import RunError
from repro.spec.objective import Drifting


def with_nearest_positives(
    spec: Drifting, *, generated: Mapping[str, Tensor], reals: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The vectors of the reals that are kept: the positives of each class, then its other reals.

    Under each key *generated* is [classes x N, L, C] and *reals* [classes x (K + U), L, C], the
    candidates of a class first; of these [classes x (P + U), L, C] are kept, the same under every
    key. A spec without `nearest_positives` keeps all. *reals* is used up: no key needs memory for
    longer than it must.

    Raises:
        RunError: when there is no key of the rule's feature.
    """
    rule = spec.nearest_positives
    if rule is None:
        return reals
    if rule.feature not in reals:
        msg = (
            f"objective.nearest_positives.feature: {rule.feature!r} is not among the features; "
            f"expected one of: {', '.join(reals)}"
        )
        raise RunError(msg)
    num_reals = rule.num_candidates + spec.num_unconditional
    num_classes = len(reals[rule.feature]) // num_reals
    vectors = reals[rule.feature].reshape(num_classes, num_reals, -1)
    positives = nearest_to_generated(
        vectors[:, : rule.num_candidates],
        generated[rule.feature].reshape(num_classes, spec.num_generated, -1),
        num=spec.num_positive,
        num_random=rule.num_random,
    )
    others = torch.arange(rule.num_candidates, num_reals, device=vectors.device)
    kept = torch.cat([positives, others.expand(num_classes, -1)], dim=1)
    first = torch.arange(num_classes, device=vectors.device)[:, None] * num_reals
    rows = (first + kept).flatten()
    return {key: reals.pop(key)[rows] for key in tuple(reals)}


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
