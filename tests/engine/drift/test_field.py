"""The drift field: what holds of every batch, what the sources print, and what limits say."""

import math
from typing import Any

import pytest
import torch
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from repro.engine.drift import Drift, compute_drift
from repro.engine.drift.reference import reference_drift
from repro.spec.objective import DriftField
from tests.engine.drift.batches import (
    ALGORITHM_2,
    Batch,
    any_batch,
    assert_close,
    assert_same,
    batches,
    drift_of,
    gaussian,
)

FACTORS = st.sampled_from([0.0, 1.0, 1.5])


@any_batch
@given(batches(max_temperature=1.0), st.booleans(), FACTORS, FACTORS)
def test_equals_the_reference(
    batch: Batch,
    repel_each_other: bool,  # noqa: FBT001
    attraction: float,
    repulsion: float,
):
    """Every reading gives what the definitions spelled out in float64 give."""
    field = evolve(batch.field, attraction=attraction, repulsion=repulsion)

    actual, expected = (
        drift(
            batch.x,
            batch.positives,
            batch.negatives,
            field=field,
            repel_each_other=repel_each_other,
            weights=batch.weights,
        )
        for drift in (compute_drift, reference_drift)
    )

    assert_same(actual, expected, tolerance=1e-8)


@any_batch
@given(batches(), st.booleans(), st.integers(1, 12))
def test_chunks_change_nothing(
    batch: Batch,
    repel_each_other: bool,  # noqa: FBT001
    rows_per_chunk: int,
):
    """In float32, however rows are cut, scale, energies and field are those of the whole."""
    x, positives, negatives = (each.float() for each in (batch.x, batch.positives, batch.negatives))

    whole, cut = (
        compute_drift(
            x,
            positives,
            negatives,
            field=batch.field,
            repel_each_other=repel_each_other,
            weights=batch.weights,
            rows_per_chunk=rows,
        )
        for rows in (1000, rows_per_chunk)
    )

    assert_same(cut, whole, tolerance=1e-6)


def test_chunks_of_a_large_batch_change_nothing():
    """Of 96 rows in float32 any cut leaves every number within 1e-6 of the whole."""
    x, positives, negatives = (
        gaussian(6, 16, 24, 32, seed=seed, dtype=torch.float32) for seed in range(3)
    )

    def drift(rows_per_chunk: int) -> Drift:
        return compute_drift(
            x,
            positives,
            negatives,
            field=DriftField(),
            repel_each_other=True,
            rows_per_chunk=rows_per_chunk,
        )

    for rows in (1, 7, 16, 40):
        assert_same(drift(rows), drift(96), tolerance=1e-6)


@any_batch
@given(batches())
def test_memory_layout_changes_nothing(batch: Batch):
    """Vectors may lie as an encoder leaves them: samples first, channels anywhere."""
    order = (0, 2, 3, 1)  # stored [G, N, C, L], seen as [G, L, N, C]
    stored = evolve(
        batch,
        **{
            name: getattr(batch, name).permute(order).contiguous().permute(0, 3, 1, 2)
            for name in ("x", "positives", "negatives")
        },
    )

    drift = drift_of(stored)

    assert_same(drift, drift_of(batch))
    assert drift.field.stride() == stored.x.stride()


@any_batch
@given(batches(), st.sampled_from(["both", "targets"]))
def test_is_anti_symmetric(batch: Batch, normalized_over: str):
    """Positives and negatives changing places turns the field around."""
    even = evolve(batch, weights=torch.ones_like(batch.weights))
    swapped = evolve(
        even,
        positives=batch.negatives,
        negatives=batch.positives,
        weights=torch.ones(batch.positives.shape[::2], dtype=torch.float64),
    )

    actual = drift_of(swapped, normalized_over=normalized_over)

    assert_close(actual.field, -drift_of(even, normalized_over=normalized_over).field)


@pytest.mark.parametrize("normalized_over", ["both", "targets"])
@pytest.mark.parametrize("floor", [0.0, 1e-6])
def test_is_anti_symmetric_to_the_last_digits(normalized_over: Any, floor: float):
    """Algorithm 2 on 32 vectors, 40 and 24 targets: 1e-15 of fields of a tenth."""
    x, y, z = (gaussian(1, 1, num, 16, seed=num) for num in (32, 40, 24))
    field = evolve(ALGORITHM_2, normalized_over=normalized_over, affinity_floor=floor)

    one, other = (
        compute_drift(x, *targets, field=field, repel_each_other=False).field
        for targets in ((y, z), (z, y))
    )

    assert one.abs().max() > 0.1
    assert_close(one, -other, tolerance=2e-15)


@any_batch
@given(batches())
def test_equal_sets_do_not_drift(batch: Batch):
    """Where positives and negatives are one set there is no drift, whatever is moved."""
    batch = evolve(
        batch,
        negatives=batch.positives,
        weights=torch.ones(batch.positives.shape[::2], dtype=torch.float64),
    )

    assert_close(drift_of(batch).field, torch.zeros_like(batch.x))


@pytest.mark.parametrize(
    ("attraction", "repulsion"), [(1.5, 1.0), (1.0, 1.5), (2.0, 1.0), (1.0, 2.0), (1.0, 0.0)]
)
def test_unequal_factors_break_the_balance(attraction: float, repulsion: float):
    """With the factors of the paper's Table 1 equal sets drift."""
    x, y = gaussian(1, 1, 8, 3), gaussian(1, 1, 9, 3, seed=1)
    field = evolve(ALGORITHM_2, attraction=attraction, repulsion=repulsion)

    drift = compute_drift(x, y, y, field=field, repel_each_other=False)

    even = compute_drift(x, y, y, field=ALGORITHM_2, repel_each_other=False)
    assert drift.field.abs().mean() > 1e-2
    assert_close(even.field, torch.zeros_like(x))


@any_batch
@given(batches(), st.booleans(), FACTORS)
def test_ignores_a_common_shift(batch: Batch, repel_each_other: bool, attraction: float):  # noqa: FBT001
    """Moving everything by one vector moves no field, whatever the factors."""
    shift = 10 * gaussian(batch.x.shape[3])
    shifted = evolve(
        batch,
        x=batch.x + shift,
        positives=batch.positives + shift,
        negatives=batch.negatives + shift,
    )
    still, moved = (
        drift_of(each, repel_each_other=repel_each_other, attraction=attraction)
        for each in (batch, shifted)
    )

    assert_close(moved.field, still.field)


@any_batch
@given(batches())
def test_turns_with_the_space(batch: Batch):
    """An orthogonal map of everything is the same map of the field."""
    channels = batch.x.shape[3]
    turn = torch.linalg.qr(gaussian(channels, channels)).Q
    turned = evolve(
        batch,
        x=batch.x @ turn,
        positives=batch.positives @ turn,
        negatives=batch.negatives @ turn,
    )

    assert_close(drift_of(turned).field, drift_of(batch).field @ turn)


def scaled(batch: Batch, factor: float) -> Batch:
    return evolve(
        batch,
        x=factor * batch.x,
        positives=factor * batch.positives,
        negatives=factor * batch.negatives,
    )


@any_batch
@given(batches(), st.floats(0.1, 10))
def test_algorithm_2_scales_with_its_temperature(batch: Batch, factor: float):
    """V(cx, cy; cT) = c V(x, y; T), where no distance is below the least, 1e-4."""
    warmer = tuple(factor * each for each in batch.field.temperatures)

    actual = drift_of(scaled(batch, factor), rule="algorithm-2", temperatures=warmer)

    expected = factor * drift_of(batch, rule="algorithm-2").field
    assert_close(actual.field, expected, tolerance=1e-4)


@any_batch
@given(batches(), st.floats(0.1, 10))
def test_official_rule_ignores_the_scale_of_features(batch: Batch, factor: float):
    """A factor on all features moves the unit, not the field in units, above the least distance."""
    small = drift_of(batch, rule="official", temperatures=(0.5, 1.0))

    large = drift_of(scaled(batch, factor), rule="official", temperatures=(0.5, 1.0))

    assert_close(large.field, small.field, tolerance=1e-3)
    assert_close(large.statistics.unit, factor * small.statistics.unit, tolerance=1e-3)


@any_batch
@given(batches(), st.integers(1, 5))
def test_empty_channels_change_no_distance(batch: Batch, more: int):
    """Channels of zeros leave the scale as it is, and the normalized field up to sqrt(C)."""
    pad = torch.nn.functional.pad
    padded = evolve(
        batch,
        x=pad(batch.x, (0, more)),
        positives=pad(batch.positives, (0, more)),
        negatives=pad(batch.negatives, (0, more)),
    )
    few, many = drift_of(batch), drift_of(padded)

    channels = batch.x.shape[3]
    ratio = (channels + more) / channels if batch.field.rule == "official" else 1.0

    assert_close(many.statistics.scale, few.statistics.scale)
    if few.statistics.energies.min() > 1e-6:
        wide = few.field * math.sqrt(ratio)
        assert_close(many.field[..., :channels], wide, tolerance=1e-6)


@any_batch
@given(batches(), st.booleans(), st.randoms(use_true_random=False))
def test_order_does_not_matter(batch: Batch, repel_each_other: bool, random: Any):  # noqa: FBT001
    """Reordering what moves reorders its field; reordering either target set does nothing."""
    orders = {
        name: random.sample(range(getattr(batch, name).shape[2]), getattr(batch, name).shape[2])
        for name in ("x", "positives", "negatives")
    }
    shuffled = evolve(
        batch,
        x=batch.x[:, :, orders["x"]],
        positives=batch.positives[:, :, orders["positives"]],
        negatives=batch.negatives[:, :, orders["negatives"]],
        weights=batch.weights[:, orders["negatives"]],
    )
    before, after = (
        drift_of(each, repel_each_other=repel_each_other) for each in (batch, shuffled)
    )

    assert_close(after.field, before.field[:, :, orders["x"]])


@any_batch
@given(batches())
def test_scale_is_the_mean_weighted_distance(batch: Batch):
    """Over the whole batch, or over the locations of each class."""
    targets = torch.cat([batch.negatives, batch.positives], dim=2)
    distances = (batch.x[:, :, :, None] - targets[:, :, None]).norm(dim=4)
    weights = torch.nn.functional.pad(batch.weights, (0, batch.positives.shape[2]), value=1.0)
    weights = weights[:, None, None].expand_as(distances)

    whole, apart = (drift_of(batch, statistics=of).statistics for of in ("batch", "class"))

    of_classes = (weights * distances).sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3))
    assert_close(whole.scale, (weights * distances).sum()[None] / weights.sum(), tolerance=1e-6)
    assert_close(apart.scale, of_classes, tolerance=1e-6)


@any_batch
@given(batches())
def test_classes_with_their_own_statistics_do_not_meet(batch: Batch):
    """With statistics of each class, classes together move as each of them alone."""
    whole = drift_of(batch, statistics="class")
    parts = [
        drift_of(
            Batch(
                x=batch.x[index : index + 1],
                positives=batch.positives[index : index + 1],
                negatives=batch.negatives[index : index + 1],
                weights=batch.weights[index : index + 1],
                field=batch.field,
            ),
            statistics="batch",
        )
        for index in range(len(batch.x))
    ]

    assert_close(whole.field, torch.cat([part.field for part in parts]))
    energies = torch.cat([part.statistics.energies for part in parts], dim=1)
    assert_close(whole.statistics.energies, energies)


def test_statistics_of_the_batch_do_not_split():
    """Two classes apart have other units than the same classes together: pass the whole batch."""
    x, positives, negatives = (gaussian(2, 1, 8, 3, seed=seed) for seed in range(3))
    positives[1] += 5

    whole, apart = (
        compute_drift(
            x,
            positives,
            negatives,
            field=DriftField(statistics=of),
            repel_each_other=False,
        )
        for of in ("batch", "class")
    )

    assert_close(whole.statistics.scale, apart.statistics.scale.mean(dim=0, keepdim=True))
    assert (whole.field - apart.field).abs().max() > 0.1


@any_batch
@given(batches())
def test_is_the_difference_of_two_mean_shifts(batch: Batch):
    """V = S+ S- (mu+ - mu-) with the affinities of Algorithm 2 (joint softmax, no floor)."""
    targets = torch.cat([batch.positives, batch.negatives], dim=2)
    difference = batch.x[:, :, :, None] - targets[:, :, None]
    logits = -difference.square().sum(dim=4).clamp_min(1e-8).sqrt() / 0.7
    affinity = (logits.softmax(dim=3) * logits.softmax(dim=2)).sqrt()
    towards, away = affinity.tensor_split([batch.positives.shape[2]], dim=3)
    plus, minus = towards.sum(dim=3, keepdim=True), away.sum(dim=3, keepdim=True)

    actual = drift_of(
        evolve(
            batch,
            field=evolve(ALGORITHM_2, temperatures=(0.7,)),
            weights=torch.ones_like(batch.weights),
        )
    )

    mean_shift = towards @ batch.positives / plus - away @ batch.negatives / minus
    assert_close(actual.field, plus * minus * mean_shift)


@any_batch
@given(batches())
def test_row_softmax_damps_by_a_quarter_at_most(batch: Batch):
    """Normalized over the targets alone S+ + S- = 1, so the field is at most a quarter as wide."""
    even = evolve(
        batch,
        field=evolve(ALGORITHM_2, normalized_over="targets"),
        weights=torch.ones_like(batch.weights),
    )
    targets = torch.cat([batch.positives, batch.negatives], dim=2)
    widest = torch.cdist(targets, targets).amax(dim=(2, 3))[:, :, None]

    assert (drift_of(even).field.norm(dim=3) <= widest / 4 + 1e-9).all()


@any_batch
@given(batches(max_temperature=2.0), st.floats(0.3, 2.0))
def test_separate_gaussians_climb_the_ratio_of_densities(batch: Batch, width: float):
    """V = h^2 (grad log KDE_p - grad log KDE_q), exactly: kernel gaussian, each side on its own."""
    field = DriftField(
        rule="algorithm-2",
        temperatures=(width,),
        kernel="gaussian",
        coupling="separate",
        normalized_over="targets",
    )

    def score(x: Tensor, centres: Tensor) -> Tensor:
        point = x.clone().requires_grad_()
        square = (point[:, :, :, None] - centres[:, :, None]).square().sum(dim=4)
        density = (-square / (2 * width**2)).logsumexp(dim=3)
        return torch.autograd.grad(density.sum(), point)[0]

    drift = compute_drift(
        batch.x, batch.positives, batch.negatives, field=field, repel_each_other=False
    )

    ratio = score(batch.x, batch.positives) - score(batch.x, batch.negatives)
    assert_close(drift.field, width**2 * ratio, tolerance=1e-6)


@pytest.mark.parametrize(("normalized_over", "vectors"), [("both", 5), ("targets", 7 + 4)])
def test_hot_limit(normalized_over: Any, vectors: int):
    """T -> infinity: everything is alike, and the field is one common push between the means."""
    x, positives, negatives = (
        gaussian(1, 1, num, 3, seed=seed) for seed, num in enumerate((5, 7, 4))
    )
    field = evolve(ALGORITHM_2, temperatures=(1e7,), normalized_over=normalized_over)

    hot = compute_drift(x, positives, negatives, field=field, repel_each_other=False)

    push = (positives.mean(dim=2) - negatives.mean(dim=2)) * 7 * 4 / (vectors * (7 + 4))
    assert_close(hot.field, push[:, :, None].expand_as(x), tolerance=1e-5)


def rms_at(temperature: float, *, floor: float) -> float:
    x, positives, negatives = (gaussian(1, 1, 32, 16, seed=seed) for seed in range(3))
    field = evolve(ALGORITHM_2, temperatures=(temperature,), affinity_floor=floor)
    drift = compute_drift(x, positives, negatives, field=field, repel_each_other=False)
    return float(drift.field.square().mean().sqrt())


def test_cold_limit():
    """T -> 0: every vector sees one target, which is of one side only, and nothing moves."""
    rms = [rms_at(T, floor=0.0) for T in (0.3, 0.1, 0.03, 0.01, 0.003)]

    assert rms == sorted(rms, reverse=True)
    assert rms[-1] < 1e-4 * rms[0]


def test_floor_keeps_the_cold_drifting():
    """T -> 0 with a floor: what stays is the pull of the floored affinities."""
    rms = [rms_at(T, floor=1e-6) for T in (0.01, 0.003, 0.001)]

    assert rms[1] == pytest.approx(rms[2], rel=1e-2)
    assert rms[2] > 1e-3


def test_one_negative_side_that_is_only_the_vector_itself():
    """One generated vector has no negatives, so it does not move, under any reading."""
    x, positives, none = gaussian(3, 2, 1, 4), gaussian(3, 2, 5, 4, seed=1), gaussian(3, 2, 0, 4)
    readings: list[Any] = [
        {"rule": rule, "coupling": coupling, "normalized_over": over}
        for rule in ("official", "algorithm-2")
        for coupling in ("joint", "separate")
        for over in ("both", "targets", "none")
    ]
    for reading in readings:
        field = DriftField(affinity_floor=0.0, temperatures=(0.5,), **reading)

        drift = compute_drift(x, positives, none, field=field, repel_each_other=True)

        assert_close(drift.field, torch.zeros_like(x))


def test_self_pairs_are_dropped_only_on_demand():
    """Equal counts do not mean that the negatives are the generated vectors."""
    x, positives, none = gaussian(1, 1, 6, 2), gaussian(1, 1, 6, 2, seed=1), gaussian(1, 1, 0, 2)

    kept = compute_drift(x, positives, x, field=ALGORITHM_2, repel_each_other=False)
    dropped = compute_drift(x, positives, none, field=ALGORITHM_2, repel_each_other=True)
    same_set = compute_drift(x, x, x, field=ALGORITHM_2, repel_each_other=False)

    assert (kept.field - dropped.field).abs().max() > 1e-2
    assert_close(same_set.field, torch.zeros_like(x))


@pytest.mark.parametrize("temperature", [30.0, 1e7])
@pytest.mark.parametrize("rule", ["official", "algorithm-2"])
def test_self_pairs_are_dropped_at_any_temperature(rule: Any, temperature: float):
    """A distance that is only large would come back when the kernel is wide."""
    x, positives, none = gaussian(1, 1, 4, 2), gaussian(1, 1, 5, 2, seed=1), gaussian(1, 1, 0, 2)
    field = DriftField(rule=rule, temperatures=(temperature,), affinity_floor=0.0)

    hot, exact = (
        of(x, positives, none, field=field, repel_each_other=True)
        for of in (compute_drift, reference_drift)
    )

    assert_same(hot, exact)


def test_equal_laws_balance_in_expectation():
    """With samples and positives of one law the drift falls with their number; a shift stays."""

    def rms(num: int, shift: float) -> float:
        x, positives = gaussian(8, 1, num, 16, seed=1), gaussian(8, 1, num, 16, seed=2)
        drift = compute_drift(
            x + shift,
            positives,
            x.new_empty(8, 1, 0, 16),
            field=ALGORITHM_2,
            repel_each_other=True,
        )
        return float(drift.field.square().mean().sqrt())

    balanced = [rms(num, 0.0) for num in (16, 64, 256)]
    shifted = [rms(num, 1.0) for num in (16, 64, 256)]

    assert balanced[0] / balanced[2] == pytest.approx(4, rel=0.35)
    assert min(shifted) > 0.8 * max(shifted)


def alone(positive: float, negative: float, field: DriftField) -> Drift:
    """One generated number at 0, one positive, one negative."""
    x, y, z = (torch.tensor([[[[value]]]]).double() for value in (0.0, positive, negative))
    return compute_drift(x, y, z, field=field, repel_each_other=False)


def test_printed_algorithm_without_aliasing():
    """Three points on a line, worked by hand from the paper's Algorithm 2."""
    drift = alone(1.0, -2.0, ALGORITHM_2)

    near, far = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))
    assert drift.field.item() == pytest.approx(math.sqrt(near * far) * (1 + 2))


def test_no_floor_is_none():
    """Without a floor the affinity of a far negative is as small as it is: exp(-99.5)."""
    drift = alone(1.0, -200.0, ALGORITHM_2)

    assert drift.field.item() == pytest.approx(math.exp(-99.5) * (1 + 200))


def test_factors_by_hand():
    """Three points on a line: V = S+ S- (a (1 - 0) - b (-2 - 0))."""
    drift = alone(1.0, -2.0, evolve(ALGORITHM_2, attraction=1.5, repulsion=0.5))

    near, far = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))
    assert drift.field.item() == pytest.approx(math.sqrt(near * far) * (1.5 * 1 + 0.5 * 2))


def test_scale_is_the_distance_when_all_are_equal():
    """Targets at one distance r give a scale of r, and a unit of r / sqrt(C)."""
    directions = torch.nn.functional.normalize(gaussian(2, 1, 9, 4), dim=3)

    drift = compute_drift(
        torch.zeros((2, 1, 3, 4), dtype=torch.float64),
        2.5 * directions[:, :, :5],
        2.5 * directions[:, :, 5:],
        field=DriftField(),
        repel_each_other=False,
        weights=gaussian(2, 4).abs(),
    )

    assert drift.statistics.scale.item() == pytest.approx(2.5)
    assert drift.statistics.unit.item() == pytest.approx(2.5 / 2)


def test_self_pairs_count_in_the_scale():
    """Corners at one distance r, six of them generated: r less their share of the pairs."""
    corners = 3.0 / math.sqrt(2) * torch.eye(13, dtype=torch.float64)[None, None]

    drift = compute_drift(
        corners[:, :, :6],
        corners[:, :, 6:11],
        corners[:, :, 11:],
        field=DriftField(),
        repel_each_other=True,
    )

    assert drift.statistics.scale.item() == pytest.approx(3.0 * 12 / 13 + 1e-4 / 13, rel=1e-12)


def test_a_set_drifts_off_itself_without_its_self_pairs():
    """V(x; x, x) is 0 only with the self pairs: without, each is drawn to itself and not pushed."""
    x = gaussian(1, 1, 32, 16)

    drift = compute_drift(x, x, x[:, :, :0], field=ALGORITHM_2, repel_each_other=True)

    assert drift.field.square().mean().sqrt() > 0.1


def test_a_vector_is_at_no_distance_from_itself():
    """In float32 too, where squares of 4,096 channels would leave it one of hundredths."""
    x, positive = (gaussian(1, 1, num, 4096, seed=num, dtype=torch.float32) for num in (16, 1))

    drift, exact = (
        of(x, positive, x[:, :, :0], field=DriftField(), repel_each_other=True)
        for of in (compute_drift, reference_drift)
    )

    expected = exact.statistics.scale.item()
    assert drift.statistics.scale.item() == pytest.approx(expected, rel=3e-7)


def test_a_collapsed_batch_keeps_a_least_scale():
    """Worked by hand: at distances of 2e-4 and 1e-4, units of 1e-3 bound what noise can do."""
    drift = alone(2e-4, -1e-4, DriftField(temperatures=(1.0,)))

    near, far = 1 / (1 + math.exp(-0.1)), 1 / (1 + math.exp(0.1))
    assert drift.statistics.scale.item() == pytest.approx(1.5e-4)
    assert drift.statistics.unit.item() == pytest.approx(1e-3)
    assert drift.statistics.energies.item() == pytest.approx(near * far * 0.3**2)
    assert drift.field.item() == pytest.approx(1)


def test_a_collapsed_batch_keeps_a_least_energy():
    """Worked by hand: distances below 1e-4 count as 1e-4, drifts below 1e-4 are not enlarged."""
    drift = alone(4e-8, -4e-8, DriftField(temperatures=(1.0,)))

    assert drift.statistics.scale.item() == pytest.approx(1e-4)
    assert drift.statistics.energies.item() == pytest.approx(1.6e-9)
    assert drift.field.item() == pytest.approx(0.4)


@pytest.mark.parametrize(("rule", "floor"), [("official", 1e-6), ("algorithm-2", 0.0)])
def test_a_rule_has_its_own_floor(rule: Any, floor: float):
    """The released code floors its affinities, Algorithm 2 as printed does not."""
    assert DriftField(rule=rule).affinity_floor == floor


def test_floor_revives_a_collapsed_batch():
    """Far from every positive a cold drift is zero without the floor and homes in with it."""
    generated = torch.zeros((1, 1, 8, 16), dtype=torch.float64)
    positives = gaussian(1, 1, 8, 16, seed=1) + 50

    def drift(floor: float) -> Drift:
        return compute_drift(
            generated,
            positives,
            positives[:, :, :0],
            field=DriftField(affinity_floor=floor),
            repel_each_other=True,
        )

    towards = (positives.mean(dim=2, keepdim=True) - generated).expand_as(generated)
    cosine = torch.nn.functional.cosine_similarity(drift(1e-6).field, towards, dim=3)
    assert drift(0.0).statistics.energies[0].item() < 1e-8
    assert drift(1e-6).statistics.energies.min().item() > 1e-8
    assert_close(cosine, torch.ones_like(cosine), tolerance=1e-3)


def test_far_from_the_origin():
    """Float32 keeps near pairs apart at an offset of 20 in 4,096 channels."""
    x = gaussian(1, 1, 8, 4096, dtype=torch.float32) / 100 + 20
    positives = gaussian(1, 1, 8, 4096, seed=1, dtype=torch.float32) / 100 + 20
    none = positives[:, :, :0]

    actual = compute_drift(x, positives, none, field=DriftField(), repel_each_other=True)
    exact = reference_drift(x, positives, none, field=DriftField(), repel_each_other=True)

    cosine = torch.nn.functional.cosine_similarity(actual.field.double(), exact.field, dim=3)
    assert cosine.min() > 0.9999
    assert actual.statistics.scale.item() == pytest.approx(exact.statistics.scale.item(), rel=1e-4)


def test_float32_equals_the_reference_at_the_official_size():
    """64 generated, 64 positive, 16 weighted vectors of 64 channels: field to 1e-4 of its width."""
    x, positives, negatives = (
        gaussian(2, 3, num, 64, seed=num, dtype=torch.float32) for num in (64, 65, 16)
    )
    options: dict[str, Any] = {
        "field": DriftField(),
        "repel_each_other": True,
        "weights": torch.full((2, 16), 3.9375),
    }

    actual = compute_drift(x, positives, negatives, **options)
    exact = reference_drift(x, positives, negatives, **options)

    assert (actual.field.double() - exact.field).abs().max() < 1e-4
    torch.testing.assert_close(
        actual.statistics.energies.double(), exact.statistics.energies, rtol=1e-4, atol=0
    )


@pytest.mark.parametrize(
    ("start", "spread"), [(0.0, 0.1), (8.0, 0.1), (2.0, 0.01)], ids=["middle", "far", "collapsed"]
)
def test_particles_cover_both_modes(start: float, spread: float):
    """From between the modes, from afar or from inside one, drifting samples find both modes."""
    generator = Generator().manual_seed(0)
    side = torch.where(torch.rand(1, 1, 256, 1, generator=generator) < 0.5, -2.0, 2.0)
    positives = side + 0.2 * torch.randn(1, 1, 256, 1, generator=generator)
    x = start + spread * torch.randn(1, 1, 128, 1, generator=generator)
    field = DriftField(temperatures=(0.05, 0.2, 1.0))

    for _ in range(300):
        drift = compute_drift(x, positives, positives[:, :, :0], field=field, repel_each_other=True)
        x = x + 0.05 * drift.statistics.unit * drift.field

    assert 0.3 < (x < 0).float().mean().item() < 0.7
    assert (x.abs() - 2).abs().median() < 0.3
