"""The drift field and its loss (Deng et al. 2026, arXiv 2602.04770).

A row is one (class, location) pair of one feature: its N generated vectors are drawn to the P
positives and pushed off the negatives, by mean shifts under a Laplace kernel. Two rules:

`official`      the authors' released training code: distances divided by their global mean, the
                drift of every temperature divided by its root mean square (eqs. 21 and 25).
`algorithm-2`   the paper's Algorithm 2, on raw distances and without a floor.

No gradient passes through a field, so everything here runs without autograd: the loss knows its
gradient when its value is computed.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from repro.spec.objective import AFFINITY_FLOORS, Coupling, Rule

SQUARED_DISTANCE_EPS = 1e-8
LEAST_SCALE = 1e-3
LEAST_ENERGY = 1e-8


@frozen(kw_only=True, eq=False)
class Drift:
    """Where the generated vectors of one feature should move.

    `field` [R, N, C] is the sum over temperatures, in multiples of `unit`. `scale` is the mean
    weighted distance over the whole batch, `energies` [temperatures] the mean square of each
    temperature's drift before it is normalized: the numbers that fall when training works.
    """

    field: Tensor
    unit: Tensor
    scale: Tensor
    energies: Tensor


@torch.no_grad()
def compute_drift(
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
    """The drift of *generated* [R, N, C] towards *positives* [R, P, C], off *negatives* [R, M, C].

    With *drop_self_pairs* the first N negatives are the generated vectors themselves, and the pair
    of a vector with itself has no affinity beyond the floor. *weights* [R, M] of the negatives
    multiply their affinities after both softmaxes: there a weight of w equals w copies.
    *affinity_floor* bounds the product of the two softmaxes from below; the default is the rule's.
    *coupling* says whether the softmax over the targets runs over positives and negatives together
    or over each set alone.

    Half precisions are computed in float32. The statistics `scale` and `energies` are taken over
    everything that is passed, so pass the whole batch.
    """
    weights = torch.ones_like(negatives[..., 0]) if weights is None else weights
    floor = AFFINITY_FLOORS[rule] if affinity_floor is None else affinity_floor
    with torch.autocast(generated.device.type, enabled=False):
        x, targets = _centred(generated, torch.cat([negatives, positives], dim=1))
        num_positives = positives.shape[1]
        weight = torch.nn.functional.pad(weights.to(x), (0, num_positives), value=1.0)[:, None, :]
        distances = _distances(x, targets)
        scale = (distances * weight).mean() / weight.mean()
        unit = torch.ones_like(scale)
        if rule == "official":
            unit = (scale / math.sqrt(x.shape[-1])).clamp_min(LEAST_SCALE)
            distances /= scale.clamp_min(LEAST_SCALE)
            targets /= unit
        field, energies = torch.zeros_like(x), []
        for temperature in temperatures:
            affinity = _affinity(
                distances / -temperature,
                num_positives=num_positives,
                drop_self_pairs=drop_self_pairs,
                coupling=coupling,
                floor=floor,
            )
            drift = _coefficients(affinity.mul_(weight), num_positives=num_positives) @ targets
            energies.append(drift.square().mean())
            if rule == "official":
                drift /= energies[-1].clamp_min(LEAST_ENERGY).sqrt()
            field += drift
    return Drift(field=field, unit=unit, scale=scale, energies=torch.stack(energies))


def drift_loss(
    generated: Tensor,
    positives: Tensor,
    unconditional: Tensor,
    *,
    weights: Tensor,
    temperatures: Sequence[float],
    rule: Rule = "official",
    coupling: Coupling = "joint",
    affinity_floor: float | None = None,
) -> tuple[Tensor, Drift]:
    """The mean of (x/u - sg(x/u + V))^2 over rows, vectors and channels, and the drift V behind it.

    The negatives of a row are its generated vectors [R, N, C], less the self pairs, and the
    *unconditional* reals [R, U, C] under *weights* [R, U]. The gradient goes to *generated* only.
    The value is the mean square of V: under the official rule it is flat by design (1 for one
    temperature), so watch `energies` instead.
    """
    constant = _single(generated.detach())
    drift = compute_drift(
        constant,
        positives,
        torch.cat([constant, unconditional.detach().to(constant)], dim=1),
        drop_self_pairs=True,
        temperatures=temperatures,
        weights=torch.cat([torch.ones_like(constant[..., 0]), weights.to(constant)], dim=1),
        rule=rule,
        coupling=coupling,
        affinity_floor=affinity_floor,
    )
    gradient = drift.field * (-2 / (drift.field.numel() * drift.unit))
    value = drift.field.square().mean()
    loss: Tensor = _KnownGradient.apply(generated, gradient, value)  # type: ignore[no-untyped-call]
    return loss, drift


def guidance_weight(alpha: Tensor, *, num_generated: int, num_unconditional: int) -> Tensor:
    """The weight w of each unconditional negative that trains for guidance scale *alpha*.

    From gamma = U w / (N - 1 + U w) and alpha = 1 / (1 - gamma) (the paper's appendix A.7).
    """
    return (alpha - 1) * (num_generated - 1) / max(num_unconditional, 1)


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


def _centred(x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    # The field ignores a common shift, the Gram form of the distance does not: far from the origin
    # float32 loses the near pairs.
    x, targets = _single(x), _single(targets)
    centre = targets.mean(dim=1, keepdim=True)
    return x - centre, targets - centre


def _single(x: Tensor) -> Tensor:
    """Half precision as float32, the others as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances [R, N, M] of x [R, N, C] and y [R, M, C]."""
    square = torch.baddbmm(y.square().sum(dim=2)[:, None, :], x, y.transpose(1, 2), alpha=-2)
    square += x.square().sum(dim=2)[:, :, None]
    return square.clamp_min_(SQUARED_DISTANCE_EPS).sqrt_()


def _affinity(
    logits: Tensor, *, num_positives: int, drop_self_pairs: bool, coupling: Coupling, floor: float
) -> Tensor:
    """The geometric mean [R, N, M + P] of the softmaxes over targets and over generated vectors."""
    self_pairs = logits[:, :, : logits.shape[1]].diagonal(dim1=1, dim2=2)
    if drop_self_pairs:
        self_pairs.fill_(-math.inf)
    over_generated = logits.logsumexp(dim=1, keepdim=True)
    sides = [logits] if coupling == "joint" else _sides(logits, num_positives=num_positives)
    over_targets = [side.logsumexp(dim=2, keepdim=True) for side in sides]
    for side, total in zip(sides, over_targets, strict=True):
        side.sub_(total / 2)
    affinity = logits.sub_(over_generated / 2).exp_()
    if drop_self_pairs:
        self_pairs.zero_()  # a vector alone in its set had -inf - -inf here
    return affinity.clamp_min_(math.sqrt(floor))


def _coefficients(affinity: Tensor, *, num_positives: int) -> Tensor:
    """Coefficients of the targets [negatives | positives]; every row sums to zero.

    Both sums come first: scaling one side in place before the other is summed breaks
    anti-symmetry.
    """
    repulsion, attraction = _sides(affinity, num_positives=num_positives)
    repelled = repulsion.sum(dim=2, keepdim=True)
    attracted = attraction.sum(dim=2, keepdim=True)
    repulsion.mul_(-attracted)
    attraction.mul_(repelled)
    return affinity


def _sides(affinity: Tensor, *, num_positives: int) -> list[Tensor]:
    """Views of the negatives and of the positives among the targets."""
    num_negatives = affinity.shape[2] - num_positives
    return [affinity[:, :, :num_negatives], affinity[:, :, num_negatives:]]
