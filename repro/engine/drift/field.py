"""The drift field of a batch, streamed over its rows.

Rows are independent but for two statistics of the whole batch: the mean distance, in which
distances are measured, and at each temperature the mean square of the drift, its energy, by whose
root the drift is divided. So there are two passes: one over the distances, one over the fields, of
which one buffer a temperature is kept until the energies are known. Everything else lives for a
chunk of rows that fits a cache. A row's own sums are kept and added up once, at the end: how rows
are cut into chunks cannot move a statistic beyond the rounding of a single row.

Where torch.distributed is initialized, statistics of the batch are those of all its processes.
"""

import math
from collections.abc import Iterator

import torch
from attrs import frozen
from torch import Tensor, distributed

from repro.engine.drift.affinity import diagonal, drift_at, pairwise_distances
from repro.spec.objective import DriftField

LEAST_SCALE = 1e-3
LEAST_ENERGY = 1e-8
PAIRS_IN_A_CHUNK = {"cpu": 2**18, "cuda": 2**26}
"""Pairs of vectors whose affinities are computed together: 1 MiB on a CPU, for its cache."""

Chunk = tuple[slice, slice]


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


@frozen(kw_only=True, eq=False)
class _Batch:
    """`targets` are [G, L, *, C] each: those of the negative side, then the positives."""

    field: DriftField
    generated: Tensor
    targets: tuple[Tensor, ...]
    weights: Tensor
    num_negatives: int
    self_pairs: bool


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
) -> Drift:
    """The drift of *generated* [G, L, N, C] to *positives* [G, L, P, C], off the negatives.

    Those are *negatives* [G, L, U, C] under *weights* [G, U] and, if they *repel_each_other*, the
    generated vectors: then the pair of a vector with itself has no affinity beyond the floor. A
    weight multiplies affinities, where w equals w copies, or enters the logits, as `field` says.

    Half precisions are computed in float32. Pass the whole batch: statistics are of what is passed,
    by every process, unless they are those of each class. *rows_per_chunk* changes time and memory,
    not the result.
    """
    with torch.autocast(generated.device.type, enabled=False):
        batch = _batched(
            generated,
            positives,
            negatives,
            field=field,
            self_pairs=repel_each_other,
            weights=weights,
        )
        chunks = list(_chunks(batch, rows_per_chunk))
        scale, unit = _scale_and_unit(batch, chunks)
        drifts, energies = _drifts(batch, chunks, scale=scale, unit=unit)
        total = _summed(drifts, energies, normalized=field.rule == "official")
    return Drift(field=total, statistics=Statistics(scale=scale, unit=unit, energies=energies))


def _batched(
    generated: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    field: DriftField,
    self_pairs: bool,
    weights: Tensor | None,
) -> _Batch:
    num_classes, _, num_negatives, _ = negatives.shape
    num_repelling = generated.shape[2] if self_pairs else 0
    ones = torch.ones((), dtype=_single(generated.dtype), device=generated.device)
    return _Batch(
        field=field,
        generated=generated,
        targets=(*((generated,) if self_pairs else ()), negatives, positives),
        weights=torch.cat(
            [
                ones.expand(num_classes, num_repelling),
                ones.expand(num_classes, num_negatives) if weights is None else weights.to(ones),
                ones.expand(num_classes, positives.shape[2]),
            ],
            dim=1,
        ),
        num_negatives=num_repelling + num_negatives,
        self_pairs=self_pairs,
    )


def _chunks(batch: _Batch, rows_per_chunk: int | None) -> Iterator[Chunk]:
    """Some locations of one class, or all locations of some classes."""
    num_classes, num_locations, num_generated, _ = batch.generated.shape
    pairs = num_generated * batch.weights.shape[1]
    most = PAIRS_IN_A_CHUNK.get(batch.generated.device.type, PAIRS_IN_A_CHUNK["cuda"])
    rows = rows_per_chunk or max(1, most // pairs)
    classes, locations = max(1, rows // num_locations), min(rows, num_locations)
    for first in range(0, num_classes, classes):
        for start in range(0, num_locations, locations):
            yield slice(first, first + classes), slice(start, start + locations)


def _scale_and_unit(batch: _Batch, chunks: list[Chunk]) -> tuple[Tensor, Tensor]:
    """The mean of weighted distances over the mean weight, and its part a channel (eq. 21)."""
    num_classes, num_locations, num_generated, num_channels = batch.generated.shape
    sums = batch.weights.new_empty((1, num_classes, num_locations))
    for chunk in chunks:
        x, targets = _rows(batch, chunk)
        distances = pairwise_distances(x, targets, self_pairs=batch.self_pairs)
        sums[0][chunk] = (
            (distances.sum(dim=1) * _weights(batch, chunk)[:, 0])
            .sum(dim=1)
            .unflatten(0, sums[0][chunk].shape)
        )
    weight = batch.weights.sum(dim=1)[None, :, None].expand_as(sums) * num_generated
    (scale,) = _mean(sums, weight, field=batch.field)
    if batch.field.rule == "official":
        return scale, (scale / math.sqrt(num_channels)).clamp_min(LEAST_SCALE)
    return scale, torch.ones_like(scale)


def _drifts(
    batch: _Batch, chunks: list[Chunk], *, scale: Tensor, unit: Tensor
) -> tuple[list[Tensor], Tensor]:
    """The drift of every temperature [G, L, N, C], and the energies [temperatures, groups]."""
    field, temperatures = batch.field, batch.field.temperatures
    num_classes, num_locations, num_generated, num_channels = batch.generated.shape
    drifts = [torch.empty_like(batch.generated, dtype=batch.weights.dtype) for _ in temperatures]
    squares = batch.weights.new_empty((len(temperatures), num_classes, num_locations))
    for chunk in chunks:
        x, targets = _rows(batch, chunk)
        distances = pairwise_distances(x, targets, self_pairs=batch.self_pairs)
        if field.rule == "official":
            distances /= _per_row(scale.clamp_min(LEAST_SCALE), squares[0], chunk)
            targets /= _per_row(unit, squares[0], chunk)
            x /= _per_row(unit, squares[0], chunk)
        if batch.self_pairs:
            diagonal(distances).fill_(math.inf)
        weights = _weights(batch, chunk)
        for index, temperature in enumerate(temperatures):
            drift = drift_at(
                temperature,
                field=field,
                x=x,
                targets=targets,
                distances=distances,
                weights=weights,
                num_negatives=batch.num_negatives,
            )
            shape = squares[index][chunk].shape
            drifts[index][chunk] = drift.unflatten(0, shape)
            squares[index][chunk] = drift.square_().sum(dim=(1, 2)).unflatten(0, shape)
    count = torch.full_like(squares[:1], num_generated * num_channels)
    return drifts, _mean(squares, count, field=field)


def _summed(drifts: list[Tensor], energies: Tensor, *, normalized: bool) -> Tensor:
    """The sum over temperatures, each drift divided by its root mean square (eq. 25)."""
    total, *others = drifts
    if not normalized:
        for other in others:
            total += other
        return total
    factors = energies.clamp_min(LEAST_ENERGY).rsqrt()[:, :, None, None, None]
    total *= factors[0]
    for other, factor in zip(others, factors[1:], strict=True):
        total.addcmul_(other, factor)
    return total


def _rows(batch: _Batch, chunk: Chunk) -> tuple[Tensor, Tensor]:
    """Of a chunk, x [rows, N, C] and targets [rows, M, C], less the centre of a row's targets.

    The field ignores a common shift, the Gram form of the distance does not: far from the origin
    float32 loses the near pairs.
    """
    parts = [each[chunk].flatten(0, 1).to(batch.weights.dtype) for each in batch.targets]
    targets = torch.cat(parts, dim=1)
    centre = targets.mean(dim=1, keepdim=True)
    targets -= centre
    if batch.self_pairs:
        return targets[:, : batch.generated.shape[2]].clone(), targets
    return batch.generated[chunk].flatten(0, 1).to(targets) - centre, targets


def _weights(batch: _Batch, chunk: Chunk) -> Tensor:
    """The weights [rows, 1, M] of the targets of a chunk."""
    num_locations = batch.generated.shape[1]
    return batch.weights[:, None].expand(-1, num_locations, -1)[chunk].flatten(0, 1)[:, None]


def _per_row(statistic: Tensor, rows: Tensor, chunk: Chunk) -> Tensor:
    """A statistic [groups] for each row of a chunk of rows [G, L]: [rows, 1, 1]."""
    return statistic[:, None].expand_as(rows)[chunk].flatten()[:, None, None]


def _mean(sums: Tensor, counts: Tensor, *, field: DriftField) -> Tensor:
    """Sums [K, G, L] of rows over their counts: [K, groups]."""
    if field.statistics == "class":
        return sums.sum(dim=2) / counts.sum(dim=2)
    both = torch.cat([sums.sum(dim=(1, 2)), counts.sum(dim=(1, 2))])
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(both)
    return (both[: len(sums)] / both[len(sums) :])[:, None]


def _single(dtype: torch.dtype) -> torch.dtype:
    """float32 for half precisions, the others as they are."""
    return torch.promote_types(dtype, torch.float32)
