"""Batches of every small shape, and fields under every reading."""

from typing import Any

import torch
from attrs import evolve, frozen
from hypothesis import settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from repro.engine.drift import Drift, compute_drift
from repro.spec.objective import DriftField

ALGORITHM_2 = DriftField(rule="algorithm-2", temperatures=(1.0,))
"""Floorless, on raw distances."""
any_batch = settings(deadline=None, max_examples=40)


@frozen(kw_only=True, eq=False)
class Batch:
    """Vectors [classes, locations, *, C] in float64, weights [classes, negatives], and a field."""

    x: Tensor
    positives: Tensor
    negatives: Tensor
    weights: Tensor
    field: DriftField


@st.composite
def batches(draw: st.DrawFn, *, max_temperature: float = 5.0) -> Batch:
    """Any small batch under any reading; the negatives are not the generated vectors."""
    sizes = st.integers(1, 5)
    classes, locations, channels = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(sizes)
    generator = Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    x, positives, negatives = (
        torch.randn(
            (classes, locations, draw(sizes), channels), generator=generator, dtype=torch.float64
        )
        for _ in range(3)
    )
    weights = torch.rand((classes, negatives.shape[2]), generator=generator, dtype=torch.float64)
    return Batch(
        x=x,
        positives=positives,
        negatives=negatives,
        weights=3 * weights * (weights > 0.2),
        field=draw(fields(max_temperature=max_temperature)),
    )


@st.composite
def fields(draw: st.DrawFn, *, max_temperature: float) -> DriftField:
    """Every reading, the factors of attraction and repulsion being one."""
    temperatures = st.lists(st.floats(0.1, max_temperature), min_size=1, max_size=3)
    return DriftField(
        rule=draw(st.sampled_from(["official", "algorithm-2"])),
        temperatures=tuple(draw(temperatures)),
        coupling=draw(st.sampled_from(["joint", "separate"])),
        affinity_floor=draw(st.sampled_from([0.0, 1e-6])),
        kernel=draw(st.sampled_from(["laplace", "gaussian"])),
        normalized_over=draw(st.sampled_from(["both", "targets", "none"])),
        weights_enter=draw(st.sampled_from(["affinity", "logits"])),
        statistics=draw(st.sampled_from(["batch", "class"])),
    )


def drift_of(batch: Batch, *, repel_each_other: bool = False, **changes: Any) -> Drift:
    """The drift of *batch* with some of its field changed."""
    return compute_drift(
        batch.x,
        batch.positives,
        batch.negatives,
        field=evolve(batch.field, **changes),
        repel_each_other=repel_each_other,
        weights=batch.weights,
    )


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=dtype)


def assert_close(actual: Tensor, expected: Tensor, *, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def assert_same(actual: Drift, expected: Drift, *, tolerance: float = 1e-9) -> None:
    assert_close(actual.field, expected.field, tolerance=tolerance)
    for name in ("unit", "scale", "energies"):
        one, other = (getattr(each.statistics, name) for each in (actual, expected))
        assert_close(one, other, tolerance=tolerance)
