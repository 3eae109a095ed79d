"""Guidance at training time: what a weight does, and which scales a law draws."""

from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from repro.engine.drift import compute_drift, draw_alpha, guidance_weight
from repro.spec.objective import DriftField, FixedAlpha, PowerLawAlpha, TableAlpha
from tests.engine.drift.batches import ALGORITHM_2, assert_close, gaussian

FLOORLESS = DriftField(affinity_floor=0.0, temperatures=(0.3,))


def fields_of(field: DriftField, *, weight: float = 1.0, copies: int = 1) -> tuple[Tensor, Tensor]:
    """The field and the scale of one batch whose negatives weigh so much and are so many."""
    x, positives, negatives = (
        gaussian(2, 1, num, 4, seed=seed) for seed, num in enumerate((6, 5, 3))
    )
    negatives = negatives.repeat(1, 1, copies, 1)
    drift = compute_drift(
        x,
        positives,
        negatives,
        field=field,
        repel_each_other=True,
        weights=torch.full((2, 3 * copies), weight, dtype=torch.float64),
    )
    return drift.field, drift.statistics.scale


def directions(field: Tensor) -> Tensor:
    return torch.nn.functional.normalize(field, dim=3)


@pytest.mark.parametrize("normalized_over", ["both", "targets"])
def test_weight_equals_copies(normalized_over: Any):
    """An integer weight moves each vector in the direction in which so many copies would."""
    field = evolve(FLOORLESS, normalized_over=normalized_over)

    weighted, scale = fields_of(field, weight=4.0)
    copied, scale_of_copies = fields_of(field, copies=4)

    assert_close(directions(weighted), directions(copied))
    assert_close(scale, scale_of_copies)


def test_weight_in_the_logits_acts_as_its_root():
    """Added as log w under both softmaxes, w moves vectors in the direction of sqrt(w).

    On raw distances: the scale takes w as it is.
    """
    in_logits = evolve(ALGORITHM_2, weights_enter="logits")

    logits, _ = fields_of(in_logits, weight=9.0)
    root, _ = fields_of(ALGORITHM_2, weight=3.0)
    weighted, _ = fields_of(ALGORITHM_2, weight=9.0)

    assert_close(directions(logits), directions(root))
    assert (directions(logits) - directions(weighted)).abs().max() > 1e-2


def test_over_targets_alone_both_readings_agree():
    """Normalized over targets alone a weight means the same in the logits as on the affinity."""
    field = evolve(ALGORITHM_2, normalized_over="targets")

    logits, _ = fields_of(evolve(field, weights_enter="logits"), weight=9.0)
    affinity, _ = fields_of(field, weight=9.0)

    assert_close(directions(logits), directions(affinity))


@pytest.mark.parametrize("weights_enter", ["affinity", "logits"])
@pytest.mark.parametrize("floor", [0.0, 1e-6])
def test_weight_zero_has_no_pull(weights_enter: Any, floor: float):
    """Negatives without weight have no part in where vectors go, with a floor or without."""
    x, positives, negatives = (
        gaussian(1, 1, num, 4, seed=seed) for seed, num in enumerate((6, 5, 3))
    )
    field = evolve(
        ALGORITHM_2, temperatures=(1e7,), weights_enter=weights_enter, affinity_floor=floor
    )

    hot = compute_drift(
        x,
        positives,
        negatives,
        field=field,
        repel_each_other=False,
        weights=torch.tensor([[1.0, 1.0, 0.0]]).double(),
    )

    push = (positives.mean(dim=2) - negatives[:, :, :2].mean(dim=2))[:, :, None].expand_as(x)
    assert_close(directions(hot.field), directions(push), tolerance=1e-5)


@pytest.mark.parametrize(
    ("alpha", "unconditional", "weight"),
    [(1.0, 16, 0.0), (2.0, 16, 3.9375), (4.0, 16, 11.8125), (2.0, 32, 1.96875), (4.0, 32, 5.90625)],
)
def test_guidance_weight(alpha: float, unconditional: int, weight: float):
    """The weights of 64 generated samples, as the paper's settings give them."""
    actual = guidance_weight(torch.tensor(alpha), num_generated=64, num_unconditional=unconditional)

    assert actual.item() == weight


@settings(deadline=None)
@given(st.floats(1, 10), st.integers(2, 500), st.integers(1, 500))
def test_weight_stands_for_its_scale(alpha: float, num_generated: int, num_unconditional: int):
    """The unconditional share gamma of the negatives' weight is 1 - 1 / alpha."""
    weight = guidance_weight(
        torch.tensor(alpha, dtype=torch.float64),
        num_generated=num_generated,
        num_unconditional=num_unconditional,
    ).item()

    pull = num_unconditional * weight
    assert pull / (num_generated - 1 + pull) == pytest.approx(1 - 1 / alpha, abs=1e-12)


@pytest.mark.parametrize(
    ("law", "mean", "share_to_two"),
    [
        (PowerLawAlpha(exponent=3.0), 1.6, 0.8),
        (PowerLawAlpha(exponent=5.0), 1.3176, 0.9412),
        (PowerLawAlpha(exponent=3.0, point_mass=0.5), 1.3, 0.9),
        (PowerLawAlpha(exponent=1.0), 3 / np.log(4), 0.5),
        (PowerLawAlpha(exponent=0.0, low=2.0, high=3.0), 2.5, 0.0),
        (FixedAlpha(value=1.5), 1.5, 1.0),
        (TableAlpha(values=(3.0, 1.0, 2.0), probabilities=(0.25, 0.5, 0.25)), 1.75, 0.75),
    ],
)
def test_alpha_follows_its_law(law: Any, mean: float, share_to_two: float):
    """Mean and distribution function at two are those of the law; no draw leaves its bounds."""
    alpha = draw_alpha(law, 40_000, generator=Generator().manual_seed(0))

    assert alpha.mean().item() == pytest.approx(mean, abs=0.02)
    assert (alpha <= 2).float().mean().item() == pytest.approx(share_to_two, abs=0.01)
    if isinstance(law, PowerLawAlpha):
        assert law.low - 1e-5 <= alpha.min().item()
        assert alpha.max().item() <= law.high + 1e-5


def test_a_table_draws_nothing_else():
    """Only the listed scales occur, and none of probability zero, be it first or last."""
    law = TableAlpha(values=(9.0, 1.0, 2.5, 8.0), probabilities=(0.0, 0.1, 0.9, 0.0))

    alpha = draw_alpha(law, 10_000, generator=Generator().manual_seed(0))

    assert set(alpha.tolist()) == {1.0, 2.5}
