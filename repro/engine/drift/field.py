"""The drift field of a batch, streamed over its rows.

Rows are independent but for two statistics of the whole batch: the mean distance, in which
distances are measured, and at each temperature the mean square of the drift, its energy, by whose
root the drift is divided. So there are two passes: one over the distances, one over the drifts, of
which one buffer a temperature is kept until the energies are known. Everything else lives for a
chunk of rows that fits a cache. A row's own sums are kept and added up once, at the end: how rows
are cut into chunks moves a statistic by no more than the rounding within a row.

The energies are also quadratic forms of the targets' Gram matrix, and need no drift. But then the
affinities are kept or made again: measured on a CPU with N = 64, M = 144 and three temperatures,
that loses at 64 channels (it doubles the products) and begins to gain at about 1,000.

Where torch.distributed is initialized, statistics of the batch are those of all its processes.
"""

import math
from collections.abc import Iterator

import torch
from attrs import frozen
from torch import Tensor, distributed

from repro.engine.drift.affinity import diagonal, drift_at, pairwise_distances
from repro.engine.drift.kernels import Move
from repro.spec.objective import DriftField, StatisticsOf

LEAST_SCALE = 1e-3
LEAST_ENERGY = 1e-8
PAIRS_IN_A_CHUNK = {"cpu": 2**18, "cuda": 2**24}
"""How many affinities are computed together: on a CPU 1 MiB of them, for its cache."""

Chunk = tuple[slice, slice]
"""Some of the rows [classes, locations]."""


@frozen(kw_only=True, eq=False)
class Statistics:
    """What a field was normalized by, for each group: one, or one a class.

    `scale` [groups] is the mean weighted distance, `unit` [groups] what the field is a multiple of.
    `energies` [temperatures, groups] are the mean squares of each temperature's drift before it is
    normalized: the numbers that fall when training works.
    """

    scale: Tensor
    unit: Tensor
    energies: Tensor


@frozen(kw_only=True, eq=False)
class Drift:
    """Where generated vectors should move: `field`, in their shape, in multiples of the unit."""

    field: Tensor
    statistics: Statistics


@torch.no_grad()
def compute_drift(
    generated: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    field: DriftField,
    repel_each_other: bool,
    weights: Tensor | None = None,
    rows_per_chunk: int | None = None,
    move: Move = drift_at,
) -> Drift:
    """The drift of *generated* [G, L, N, C] to *positives* [G, L, P, C], off the negatives.

    Those are *negatives* [G, L, U, C] under *weights* [G, U] and, if they *repel_each_other*, the
    generated vectors: then the pair of a vector with itself has no affinity beyond the floor. A
    weight multiplies affinities, where w equals w copies, or enters the logits, as *field* says.

    Half precisions are computed in float32. Pass the whole batch: statistics are of all that is
    passed, by every process, unless *field* takes them class by class. *rows_per_chunk* and
    *move* (`kernels`) change time and memory, not the result.
    """
    with torch.autocast(generated.device.type, enabled=False):
        batch = _Batch(
            vectors=(generated, negatives, positives),
            weights=_target_weights(
                weights, generated, positives, negatives, repel_each_other=repel_each_other
            ),
            self_pairs=repel_each_other,
        )
        chunks = list(_chunks(generated, batch.weights, rows_per_chunk))
        scale, last = _scale(batch, chunks, of=field.statistics)
        measure = unit = torch.ones_like(scale)
        if field.rule == "official":
            measure = scale.clamp_min(LEAST_SCALE)
            unit = (scale / math.sqrt(generated.shape[3])).clamp_min(LEAST_SCALE)  # eq. 21
        drifts, energies = _drifts(batch, chunks, last, field=field, measure=measure, move=move)
        energies /= unit.square()
        factors = (1 / unit).expand_as(energies)
        if field.rule == "official":
            factors = factors * energies.clamp_min(LEAST_ENERGY).rsqrt()  # eq. 25
        total = _weighted_sum(drifts, factors)
    return Drift(field=total, statistics=Statistics(scale=scale, unit=unit, energies=energies))


@frozen(kw_only=True, eq=False)
class _Batch:
    """Generated, negative and positive vectors [G, L, *, C], and the weights [G, M] of targets.

    With `self_pairs` the generated vectors are the first of the targets.
    """

    vectors: tuple[Tensor, Tensor, Tensor]
    weights: Tensor
    self_pairs: bool


@frozen(kw_only=True, eq=False)
class _Pairs:
    """Of the rows of a chunk: x [rows, N, C], targets [rows, M, C], distances [rows, N, M]."""

    x: Tensor
    targets: Tensor
    distances: Tensor


def _target_weights(
    weights: Tensor | None,
    generated: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    repel_each_other: bool,
) -> Tensor:
    """Those of the negatives, and one for every other target, in the precision of the field."""
    dtype = torch.promote_types(generated.dtype, torch.float32)
    one = torch.ones((len(generated), 1), dtype=dtype, device=generated.device)
    given = one.expand(-1, negatives.shape[2]) if weights is None else weights.to(one)
    num_first = generated.shape[2] if repel_each_other else 0
    return torch.cat([one.expand(-1, num_first), given, one.expand(-1, positives.shape[2])], dim=1)


def _chunks(generated: Tensor, weights: Tensor, rows: int | None) -> Iterator[Chunk]:
    """Some locations of one class after the other, or all locations of some classes."""
    num_classes, num_locations, num_generated, _ = generated.shape
    device = "cpu" if generated.device.type == "cpu" else "cuda"
    rows = rows or max(1, PAIRS_IN_A_CHUNK[device] // (num_generated * weights.shape[1]))
    classes, locations = max(1, rows // num_locations), min(rows, num_locations)
    for first in range(0, num_classes, classes):
        for start in range(0, num_locations, locations):
            yield slice(first, first + classes), slice(start, start + locations)


def _scale(batch: _Batch, chunks: list[Chunk], *, of: StatisticsOf) -> tuple[Tensor, _Pairs | None]:
    """The mean of the weighted distances over the mean weight [groups]; the last chunk's pairs."""
    last = None
    num_classes, num_locations, num_generated, _ = batch.vectors[0].shape
    sums = batch.weights.new_empty((1, num_classes, num_locations))
    for chunk in chunks:
        last = _pairs(batch, chunk)
        of_targets = last.distances.sum(dim=1) * _per_row(batch.weights, sums[0], chunk)[:, 0]
        sums[0][chunk] = of_targets.sum(dim=1).view_as(sums[0][chunk])
    counts = num_generated * batch.weights.sum(dim=1)[:, None].expand_as(sums)
    return _mean(sums, counts, of=of)[0], last


def _drifts(
    batch: _Batch,
    chunks: list[Chunk],
    last: _Pairs | None,
    *,
    field: DriftField,
    measure: Tensor,
    move: Move,
) -> tuple[list[Tensor], Tensor]:
    """The drift [G, L, N, C] of every temperature and their mean squares [temperatures, groups].

    Distances are in multiples of *measure* [groups], drifts are as the vectors are. The pass goes
    backwards, so that the pairs of the *last* chunk, often the only one, are made once.
    """
    generated, negatives, _ = batch.vectors
    num_classes, num_locations, num_generated, num_channels = generated.shape
    num_negatives = negatives.shape[2] + (num_generated if batch.self_pairs else 0)
    squares = batch.weights.new_empty((len(field.temperatures), num_classes, num_locations))
    drifts = [torch.empty_like(generated, dtype=squares.dtype) for _ in field.temperatures]
    for chunk in reversed(chunks):
        pairs, last = last or _pairs(batch, chunk), None
        distances = pairs.distances
        distances /= _per_row(measure[:, None], squares[0], chunk)
        if batch.self_pairs:
            diagonal(distances).fill_(math.inf)
        weights = _per_row(batch.weights, squares[0], chunk)
        for temperature, drift, square in zip(field.temperatures, drifts, squares, strict=True):
            moved = move(
                temperature,
                field=field,
                x=pairs.x,
                targets=pairs.targets,
                distances=distances,
                weights=weights,
                num_negatives=num_negatives,
            )
            drift[chunk] = moved.view_as(drift[chunk])
            norms = torch.linalg.vector_norm(moved, dim=(1, 2))
            square[chunk] = norms.square_().view_as(square[chunk])
    counts = torch.full_like(squares, num_generated * num_channels)
    return drifts, _mean(squares, counts, of=field.statistics)


def _weighted_sum(drifts: list[Tensor], factors: Tensor) -> Tensor:
    """The drifts [G, L, N, C] times their factors [temperatures, groups], added up in the first."""
    total, *others = drifts
    first, *rest = factors[:, :, None, None, None]
    total *= first
    for other, factor in zip(others, rest, strict=True):
        total.addcmul_(other, factor)
    return total


def _pairs(batch: _Batch, chunk: Chunk) -> _Pairs:
    """The rows of a chunk, less a centre each.

    The field ignores a common shift, the Gram form of the distance does not: far from the origin
    float32 loses the near pairs.
    """
    parts = [each[chunk].flatten(0, 1).to(batch.weights.dtype) for each in batch.vectors]
    vectors = torch.cat(parts, dim=1)
    vectors -= vectors.mean(dim=1, keepdim=True)
    num_generated = parts[0].shape[1]
    x, targets = vectors[:, :num_generated], vectors[:, 0 if batch.self_pairs else num_generated :]
    distances = pairwise_distances(x, targets, self_pairs=batch.self_pairs)
    return _Pairs(x=x, targets=targets, distances=distances)


def _per_row(values: Tensor, rows: Tensor, chunk: Chunk) -> Tensor:
    """Values [groups, K] for each row of a chunk of *rows* [G, L]: [rows, 1, K]."""
    return values[:, None].expand(*rows.shape, -1)[chunk].flatten(0, 1)[:, None]


def _mean(sums: Tensor, counts: Tensor, *, of: StatisticsOf) -> Tensor:
    """The sums of rows [K, G, L] over their counts, group by group [K, groups]."""
    if of == "class":
        return sums.sum(dim=2) / counts.sum(dim=2)
    totals = torch.stack([sums, counts]).sum(dim=(2, 3))
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(totals)
    return (totals[0] / totals[1])[:, None]
