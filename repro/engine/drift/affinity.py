"""What a few rows share at all temperatures, and how each temperature moves them.

Shapes: x [rows, N, C]; targets [rows, M, C], the negatives first; distances [rows, N, M].
"""

import math

import torch
from torch import Tensor

from repro.spec.objective import Coupling, DriftField

SQUARED_DISTANCE_EPS = 1e-8
NEGLIGIBLE = 1e-18


def pairwise_distances(x: Tensor, targets: Tensor, *, self_pairs: bool) -> Tensor:
    """Euclidean distances, at least 1e-4; with *self_pairs* the first N targets are x.

    In the Gram form, so pass vectors near the origin, and on CUDA keep TF32 off: the squares of far
    vectors swallow the differences of near ones.
    """
    of_targets = torch.linalg.vector_norm(targets, dim=2).square_()[:, None, :]
    of_x = torch.linalg.vector_norm(x, dim=2).square_()[:, :, None]
    square = torch.baddbmm(of_targets, x, targets.transpose(1, 2), alpha=-2).add_(of_x)
    if self_pairs:
        diagonal(square).zero_()  # exactly: rounding would leave sqrt(1e-7) of the norm
    return square.clamp_min_(SQUARED_DISTANCE_EPS).sqrt_()


def drift_at(
    temperature: float,
    *,
    field: DriftField,
    x: Tensor,
    targets: Tensor,
    distances: Tensor,
    weights: Tensor,
    num_negatives: int,
) -> Tensor:
    """The drift [rows, N, C] at one temperature: V = attraction V+ - repulsion V-.

    V+ = S+ S- (mu+ - x) and V- = S+ S- (mu- - x), where S is the sum of a side's affinities and mu
    the mean of its targets under them. With equal factors x falls out. *weights* are [rows, 1, M];
    a self pair has an infinite distance.
    """
    affinity = _affinity(
        temperature, field=field, distances=distances, weights=weights, num_negatives=num_negatives
    )
    # Both sums come first: scaling one side in place before the other is summed breaks the
    # anti-symmetry of the field.
    repelling, attracting = _sides(affinity, num_negatives)
    repelled = repelling.sum(dim=2, keepdim=True)
    attracted = attracting.sum(dim=2, keepdim=True)
    repelling.mul_(attracted * -field.repulsion)
    attracting.mul_(repelled * field.attraction)
    drift = torch.bmm(affinity, targets)
    if field.attraction != field.repulsion:
        drift -= (field.attraction - field.repulsion) * attracted * repelled * x
    return drift


def diagonal(pairs: Tensor) -> Tensor:
    """The self pairs of [rows, N, M], a view."""
    return pairs[:, :, : pairs.shape[1]].diagonal(dim1=1, dim2=2)


def _affinity(
    temperature: float,
    *,
    field: DriftField,
    distances: Tensor,
    weights: Tensor,
    num_negatives: int,
) -> Tensor:
    """The weighted affinities [rows, N, M]."""
    logits = _logits(temperature, field=field, distances=distances)
    weighted = logits
    if field.weights_enter == "logits":
        # The softmax over generated vectors goes without: there a weight cancels.
        weighted = logits + weights.log()
    affinity = _normalized(logits, weighted, field=field, num_negatives=num_negatives)
    # Alone in its set a vector had 0 / 0 with itself.
    diagonal(affinity).masked_fill_(diagonal(distances).isinf(), math.sqrt(field.affinity_floor))
    if field.weights_enter == "logits":
        return affinity.masked_fill_(weights == 0, 0.0)  # the floor is not for absent targets
    return affinity.mul_(weights)


def _normalized(
    logits: Tensor, weighted: Tensor, *, field: DriftField, num_negatives: int
) -> Tensor:
    least = math.sqrt(field.affinity_floor)
    match field.normalized_over:
        case "both":
            both = _over_targets(weighted, coupling=field.coupling, num_negatives=num_negatives)
            # Where a factor is this small the floor decides. Without, products become denormal
            # numbers, with which a CPU takes up to forty times as long.
            over_generated = logits.softmax(dim=1)
            if field.affinity_floor > NEGLIGIBLE:
                both.clamp_min_(NEGLIGIBLE)
                over_generated.clamp_min_(NEGLIGIBLE)
            return both.mul_(over_generated).clamp_min_(field.affinity_floor).sqrt_()
        case "targets":
            over = _over_targets(weighted, coupling=field.coupling, num_negatives=num_negatives)
            return over.clamp_min_(least)
        case "none":
            return weighted.exp().clamp_min_(least)


def _logits(temperature: float, *, field: DriftField, distances: Tensor) -> Tensor:
    match field.kernel:
        case "laplace":
            return distances * (-1 / temperature)
        case "gaussian":
            return distances.square().mul_(-0.5 / temperature**2)


def _over_targets(logits: Tensor, *, coupling: Coupling, num_negatives: int) -> Tensor:
    if coupling == "joint":
        return logits.softmax(dim=2)
    return torch.cat([side.softmax(dim=2) for side in _sides(logits, num_negatives)], dim=2)


def _sides(pairs: Tensor, num_negatives: int) -> tuple[Tensor, Tensor]:
    """Views of the negatives and of the positives among the targets."""
    return pairs[:, :, :num_negatives], pairs[:, :, num_negatives:]
