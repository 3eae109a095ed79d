"""The drift field and its loss: what holds of every batch, and what the sources print."""

import math
from typing import Any

import pytest
import torch
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from repro.engine.drift import (
    Drift,
    compute_drift,
    drift_loss,
    guidance_weight,
)
from tests.engine.drift_oracle import reference_drift

FLOORLESS: dict[str, Any] = {"rule": "algorithm-2", "affinity_floor": 0.0}
OFFICIAL_TEMPERATURES = (0.02, 0.05, 0.2)
any_batch = settings(deadline=None, max_examples=40)


@frozen(kw_only=True, eq=False)
class Batch:
    """Rows of float64 vectors, and the options of a field."""

    x: Tensor
    positives: Tensor
    negatives: Tensor
    options: dict[str, Any]


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Any small batch under any options; the negatives are not the generated vectors."""
    sizes = st.integers(1, 6)
    rows, channels = draw(sizes), draw(sizes)
    generator = Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    x, positives, negatives = (
        torch.randn((rows, draw(sizes), channels), generator=generator, dtype=torch.float64)
        for _ in range(3)
    )
    options = {
        "rule": draw(st.sampled_from(["official", "algorithm-2"])),
        "coupling": draw(st.sampled_from(["joint", "separate"])),
        "affinity_floor": draw(st.sampled_from([0.0, 1e-6])),
        "temperatures": tuple(draw(st.lists(st.floats(0.1, 5.0), min_size=1, max_size=3))),
    }
    return Batch(x=x, positives=positives, negatives=negatives, options=options)


def drift_of(batch: Batch, **changes: Any) -> Drift:
    options = {"drop_self_pairs": False, **batch.options, **changes}
    return compute_drift(batch.x, batch.positives, batch.negatives, **options)


def with_self_pairs(batch: Batch) -> Batch:
    return evolve(batch, negatives=torch.cat([batch.x, batch.negatives], dim=1))


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=dtype)


def assert_close(actual: Tensor, expected: Tensor, *, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def assert_same(actual: Drift, expected: Drift) -> None:
    for name in ("field", "unit", "scale", "energies"):
        assert_close(getattr(actual, name), getattr(expected, name))


@any_batch
@given(batches(), st.booleans(), st.integers(0, 99))
def test_equals_the_reference(batch: Batch, drop_self_pairs: bool, seed: int):  # noqa: FBT001
    """Every rule, coupling and floor gives what the definitions spelled out in float64 give."""
    batch = with_self_pairs(batch)
    options = {
        **batch.options,
        "drop_self_pairs": drop_self_pairs,
        "weights": gaussian(*batch.negatives.shape[:2], seed=seed).abs(),
        "temperatures": tuple(min(each, 1.0) for each in batch.options["temperatures"]),
    }

    reference = reference_drift(batch.x, batch.positives, batch.negatives, **options)

    assert_same(drift_of(batch, **options), reference)


@any_batch
@given(batches())
def test_is_anti_symmetric(batch: Batch):
    """Positives and negatives changing places turns the field around."""
    swapped = evolve(batch, positives=batch.negatives, negatives=batch.positives)

    assert_close(drift_of(swapped).field, -drift_of(batch).field)


@any_batch
@given(batches())
def test_equal_sets_do_not_drift(batch: Batch):
    """Where positives and negatives are one set there is no drift, whatever is moved."""
    batch = evolve(batch, negatives=batch.positives)

    assert_close(drift_of(batch).field, torch.zeros_like(batch.x))


@any_batch
@given(batches(), st.booleans())
def test_ignores_a_common_shift(batch: Batch, drop_self_pairs: bool):  # noqa: FBT001
    """Moving everything by one vector moves no field."""
    batch = with_self_pairs(batch)
    shift = 10 * gaussian(batch.x.shape[2])
    shifted = evolve(
        batch,
        x=batch.x + shift,
        positives=batch.positives + shift,
        negatives=batch.negatives + shift,
    )

    actual = drift_of(shifted, drop_self_pairs=drop_self_pairs)

    assert_close(actual.field, drift_of(batch, drop_self_pairs=drop_self_pairs).field)


@any_batch
@given(batches())
def test_turns_with_the_space(batch: Batch):
    """An orthogonal map of everything is the same map of the field."""
    channels = batch.x.shape[2]
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
    """V(cx, cy; cT) = c V(x, y; T)."""
    temperatures = batch.options["temperatures"]
    warmer = tuple(factor * each for each in temperatures)

    actual = drift_of(scaled(batch, factor), rule="algorithm-2", temperatures=warmer)

    assert_close(actual.field, factor * drift_of(batch, rule="algorithm-2").field)


@any_batch
@given(batches(), st.floats(0.1, 10))
def test_official_rule_ignores_the_scale_of_features(batch: Batch, factor: float):
    """A factor on all features moves the unit, not the field in units."""
    small = drift_of(batch, rule="official", temperatures=(0.5, 1.0))

    large = drift_of(scaled(batch, factor), rule="official", temperatures=(0.5, 1.0))

    assert_close(large.field, small.field, tolerance=1e-6)
    assert_close(large.unit, factor * small.unit, tolerance=1e-6)


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

    channels = batch.x.shape[2]
    ratio = (channels + more) / channels if batch.options["rule"] == "official" else 1.0

    assert_close(many.scale, few.scale)
    if few.energies.min() > 1e-6:
        assert_close(many.field[:, :, :channels], few.field * math.sqrt(ratio), tolerance=1e-6)


@any_batch
@given(batches(), st.randoms(use_true_random=False))
def test_order_does_not_matter(batch: Batch, random: Any):
    """Reordering what moves reorders its field; reordering either target set does nothing."""
    orders = {
        name: random.sample(range(getattr(batch, name).shape[1]), getattr(batch, name).shape[1])
        for name in ("x", "positives", "negatives")
    }
    shuffled = evolve(
        batch,
        x=batch.x[:, orders["x"]],
        positives=batch.positives[:, orders["positives"]],
        negatives=batch.negatives[:, orders["negatives"]],
    )

    assert_close(drift_of(shuffled).field, drift_of(batch).field[:, orders["x"]])


@any_batch
@given(batches(), st.integers(0, 99))
def test_statistics_are_of_the_whole_batch(batch: Batch, seed: int):
    """Scale and energies of rows taken together are the means over all of them."""
    weights = gaussian(*batch.negatives.shape[:2], seed=seed).abs() + 0.1
    distances = torch.cdist(
        batch.x,
        torch.cat([batch.negatives, batch.positives], dim=1),
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    all_weights = torch.cat([weights, torch.ones_like(batch.positives[..., 0])], dim=1)

    drift = drift_of(batch, weights=weights)

    expected = (all_weights[:, None] * distances).mean() / all_weights.mean()
    assert_close(drift.scale, expected, tolerance=1e-6)


def test_statistics_do_not_split():
    """Two rows apart have other units than the same rows together: pass the whole batch."""
    x, positives, negatives = gaussian(2, 8, 3), gaussian(2, 8, 3, seed=1), gaussian(2, 8, 3)
    positives[1] += 5
    options: dict[str, Any] = {"drop_self_pairs": False, "temperatures": OFFICIAL_TEMPERATURES}

    whole = compute_drift(x, positives, negatives, **options)
    parts = [
        compute_drift(x[i : i + 1], positives[i : i + 1], negatives[i : i + 1], **options)
        for i in range(2)
    ]

    assert_close(whole.scale, torch.stack([part.scale for part in parts]).mean())
    assert (whole.field - torch.cat([part.field for part in parts])).abs().max() > 0.1


@any_batch
@given(batches())
def test_is_the_difference_of_two_mean_shifts(batch: Batch):
    """V = S+ S- (mu+ - mu-) with the affinities of Algorithm 2 (joint softmax, no floor)."""
    targets = torch.cat([batch.positives, batch.negatives], dim=1)
    difference = batch.x[:, :, None] - targets[:, None]
    logits = -difference.square().sum(dim=3).clamp_min(1e-8).sqrt() / 0.7
    affinity = (logits.softmax(dim=2) * logits.softmax(dim=1)).sqrt()
    towards, away = affinity.tensor_split([batch.positives.shape[1]], dim=2)
    plus, minus = towards.sum(dim=2, keepdim=True), away.sum(dim=2, keepdim=True)

    actual = drift_of(batch, **FLOORLESS, temperatures=(0.7,), coupling="joint")

    mean_shift = towards @ batch.positives / plus - away @ batch.negatives / minus
    assert_close(actual.field, plus * minus * mean_shift)


def test_hot_limit():
    """T -> infinity: everything is alike, and the field is one common push between the means."""
    x, positives, negatives = (
        gaussian(1, 5, 3),
        gaussian(1, 7, 3, seed=1),
        gaussian(1, 4, 3, seed=2),
    )

    hot = compute_drift(
        x, positives, negatives, drop_self_pairs=False, temperatures=(1e7,), **FLOORLESS
    )

    push = (positives.mean(dim=1) - negatives.mean(dim=1)) * 7 * 4 / (5 * (7 + 4))
    assert_close(hot.field, push[:, None].expand_as(x), tolerance=1e-5)


def test_cold_limit():
    """T -> 0: every vector sees one target, which is of one side only, and nothing moves."""
    x, positives, negatives = (gaussian(1, 32, 16, seed=seed) for seed in range(3))
    rms = [
        compute_drift(
            x, positives, negatives, drop_self_pairs=False, temperatures=(T,), **FLOORLESS
        )
        .field.square()
        .mean()
        .sqrt()
        .item()
        for T in (0.3, 0.1, 0.03, 0.01, 0.003)
    ]

    assert rms == sorted(rms, reverse=True)
    assert rms[-1] < 1e-4 * rms[0]


@pytest.mark.parametrize("coupling", ["joint", "separate"])
@pytest.mark.parametrize("rule", ["official", "algorithm-2"])
def test_one_sample_alone_learns_nothing(rule: str, coupling: str):
    """One generated vector has no negatives, so it does not move."""
    x = gaussian(3, 1, 4)

    drift = compute_drift(
        x,
        gaussian(3, 5, 4, seed=1),
        x,
        drop_self_pairs=True,
        temperatures=(0.5,),
        rule=rule,  # type: ignore[arg-type]
        coupling=coupling,  # type: ignore[arg-type]
        affinity_floor=0.0,
    )

    assert_close(drift.field, torch.zeros_like(x))


def test_self_pairs_are_dropped_only_on_demand():
    """Equal counts do not mean that the negatives are the generated vectors."""
    x, positives, negatives = (gaussian(1, 6, 2, seed=seed) for seed in range(3))
    options: dict[str, Any] = {"temperatures": (1.0,), **FLOORLESS}

    kept = compute_drift(x, positives, negatives, drop_self_pairs=False, **options)
    dropped = compute_drift(x, positives, negatives, drop_self_pairs=True, **options)
    same_set = compute_drift(x, x, x, drop_self_pairs=False, **options)

    assert (kept.field - dropped.field).abs().max() > 1e-2
    assert_close(same_set.field, torch.zeros_like(x))


def test_equal_laws_balance_in_expectation():
    """With samples and positives of one law the drift falls with their number; a shift stays."""

    def rms(num: int, shift: float) -> float:
        x = gaussian(8, num, 16, seed=1) + shift
        drift = compute_drift(
            x,
            gaussian(8, num, 16, seed=2),
            x,
            drop_self_pairs=True,
            temperatures=(1.0,),
            **FLOORLESS,
        )
        return float(drift.field.square().mean().sqrt())

    balanced = [rms(num, 0.0) for num in (16, 64, 256)]
    shifted = [rms(num, 1.0) for num in (16, 64, 256)]

    assert balanced[0] / balanced[2] == pytest.approx(4, rel=0.35)
    assert min(shifted) > 0.8 * max(shifted)


def test_printed_algorithm_without_aliasing():
    """Three points on a line, worked by hand from the paper's Algorithm 2."""
    x, positive, negative = (torch.tensor([[[value]]]).double() for value in (0.0, 1.0, -2.0))

    drift = compute_drift(
        x, positive, negative, drop_self_pairs=False, temperatures=(1.0,), **FLOORLESS
    )

    near, far = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))
    assert drift.field.item() == pytest.approx(math.sqrt(near * far) * (1 + 2))


def test_scale_is_the_distance_when_all_are_equal():
    """Targets at one distance r give a scale of r, and a unit of r / sqrt(C)."""
    directions = torch.nn.functional.normalize(gaussian(2, 9, 4), dim=2)
    x = torch.zeros((2, 3, 4), dtype=torch.float64)

    drift = compute_drift(
        x,
        2.5 * directions[:, :5],
        2.5 * directions[:, 5:],
        drop_self_pairs=False,
        temperatures=(1.0,),
        weights=gaussian(2, 4).abs(),
    )

    assert drift.scale.item() == pytest.approx(2.5)
    assert drift.unit.item() == pytest.approx(2.5 / 2)


def loss_options(**changes: Any) -> dict[str, Any]:
    return {"temperatures": OFFICIAL_TEMPERATURES, "weights": torch.full((4, 3), 1.5), **changes}


def loss_batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generated = gaussian(4, 6, 5, dtype=dtype).requires_grad_()
    return generated, gaussian(4, 7, 5, seed=1, dtype=dtype), gaussian(4, 3, 5, seed=2, dtype=dtype)


@pytest.mark.parametrize("rule", ["official", "algorithm-2"])
def test_gradient_is_that_of_the_frozen_target(rule: str):
    """The gradient is autograd's of mean((x/u - sg(x/u + V))^2): -2 V / (numel u)."""
    generated, positives, unconditional = loss_batch()

    loss, drift = drift_loss(generated, positives, unconditional, **loss_options(rule=rule))
    loss.backward()

    twin = generated.detach().clone().requires_grad_()
    target = (twin / drift.unit + drift.field).detach()
    expected = (twin / drift.unit - target).square().mean()
    (gradient,) = torch.autograd.grad(expected, twin)
    assert generated.grad is not None
    assert_close(generated.grad, gradient)
    assert_close(loss.detach(), expected.detach())


def test_gradient_follows_what_comes_after():
    """A factor on the loss is a factor on the gradient, as accumulation needs."""
    generated, positives, unconditional = loss_batch()
    loss, _ = drift_loss(generated, positives, unconditional, **loss_options())

    (whole,) = torch.autograd.grad(loss, generated, retain_graph=True)
    (half,) = torch.autograd.grad(loss / 2, generated)

    assert_close(half, whole / 2)


def test_no_gradient_reaches_the_reals():
    """Positives and unconditional negatives are constants."""
    generated, positives, unconditional = loss_batch()
    positives.requires_grad_()
    unconditional.requires_grad_()

    loss, _ = drift_loss(generated, positives, unconditional, **loss_options())
    loss.backward()

    assert positives.grad is None
    assert unconditional.grad is None


def test_value_of_one_temperature_is_one():
    """The official loss is flat by design: a normalized drift has a mean square of one."""
    loss, drift = drift_loss(*loss_batch(), **loss_options(temperatures=(0.2,)))

    assert loss.item() == pytest.approx(1.0)
    assert drift.energies.item() > 1e-8


def test_value_of_many_temperatures_is_bounded():
    """K normalized drifts added have a mean square from 0 to K^2."""
    loss, _ = drift_loss(*loss_batch(), **loss_options())

    assert 0 < loss.item() <= 9


def test_gradients_of_temperatures_add_up():
    """One loss over the summed drifts has the gradient of a loss for each temperature, summed."""
    generated, positives, unconditional = loss_batch()

    def gradient(temperatures: tuple[float, ...]) -> Tensor:
        loss, _ = drift_loss(
            generated, positives, unconditional, **loss_options(temperatures=temperatures)
        )
        return torch.autograd.grad(loss, generated)[0]

    summed = torch.stack([gradient((each,)) for each in OFFICIAL_TEMPERATURES]).sum(dim=0)

    assert_close(gradient(OFFICIAL_TEMPERATURES), summed)


def test_gradient_shrinks_as_features_grow():
    """A factor on all features leaves the loss and divides its gradient."""
    generated, positives, unconditional = loss_batch()
    large = (10 * generated.detach()).requires_grad_()

    loss, _ = drift_loss(generated, positives, unconditional, **loss_options())
    large_loss, _ = drift_loss(large, 10 * positives, 10 * unconditional, **loss_options())

    assert_close(large_loss, loss, tolerance=1e-3)
    expected = torch.autograd.grad(loss, generated)[0] / 10
    assert_close(torch.autograd.grad(large_loss, large)[0], expected, tolerance=1e-3)


def test_weight_equals_copies():
    """An integer weight moves each vector in the direction in which so many copies would."""
    x, positives, negatives = (
        gaussian(2, 6, 4),
        gaussian(2, 5, 4, seed=1),
        gaussian(2, 3, 4, seed=2),
    )
    options: dict[str, Any] = {
        "drop_self_pairs": False,
        "temperatures": (0.3,),
        "affinity_floor": 0.0,
    }

    weighted = compute_drift(
        x, positives, negatives, weights=torch.full((2, 3), 4.0).double(), **options
    )
    copied = compute_drift(x, positives, negatives.repeat(1, 4, 1), **options)

    cosine = torch.nn.functional.cosine_similarity(weighted.field, copied.field, dim=2)
    assert_close(cosine, torch.ones_like(cosine))
    assert_close(weighted.scale, copied.scale)


def test_weight_zero_has_no_pull():
    """Negatives without weight leave the direction of the field to the others."""
    x, positives, negatives = (
        gaussian(1, 6, 4),
        gaussian(1, 5, 4, seed=1),
        gaussian(1, 3, 4, seed=2),
    )
    weights = torch.tensor([[1.0, 1.0, 0.0]]).double()

    hot = compute_drift(
        x,
        positives,
        negatives,
        drop_self_pairs=False,
        temperatures=(1e7,),
        weights=weights,
        **FLOORLESS,
    )

    push = (positives.mean(dim=1) - negatives[:, :2].mean(dim=1)).expand(6, 4)
    cosine = torch.nn.functional.cosine_similarity(hot.field[0], push, dim=1)
    assert_close(cosine, torch.ones_like(cosine), tolerance=1e-5)


@pytest.mark.parametrize(
    ("alpha", "unconditional", "weight"),
    [(1.0, 16, 0.0), (2.0, 16, 3.9375), (4.0, 16, 11.8125), (2.0, 32, 1.96875), (4.0, 32, 5.90625)],
)
def test_guidance_weight(alpha: float, unconditional: int, weight: float):
    """The weights of 64 generated samples, and the guidance scale they stand for."""
    actual = guidance_weight(
        torch.tensor(alpha), num_generated=64, num_unconditional=unconditional
    ).item()

    share = unconditional * actual / (63 + unconditional * actual)
    assert actual == weight
    assert 1 / (1 - share) == pytest.approx(alpha)


def alone(positive: float, negative: float) -> Drift:
    """One generated number at 0, one positive, one negative; official rule, one temperature."""
    x, y, z = (torch.tensor([[[value]]]).double() for value in (0.0, positive, negative))
    return compute_drift(x, y, z, drop_self_pairs=False, temperatures=(1.0,))


def test_a_collapsed_batch_keeps_a_least_scale():
    """Worked by hand: at distances of 2e-4 and 1e-4, units of 1e-3 bound what noise can do."""
    drift = alone(2e-4, -1e-4)

    near, far = 1 / (1 + math.exp(-0.1)), 1 / (1 + math.exp(0.1))
    assert drift.scale.item() == pytest.approx(1.5e-4)
    assert drift.unit.item() == pytest.approx(1e-3)
    assert drift.energies.item() == pytest.approx(near * far * 0.3**2)
    assert drift.field.item() == pytest.approx(1)


def test_a_collapsed_batch_keeps_a_least_energy():
    """Worked by hand: distances below 1e-4 count as 1e-4, drifts below 1e-4 are not enlarged."""
    drift = alone(4e-8, -4e-8)

    assert drift.scale.item() == pytest.approx(1e-4)
    assert drift.energies.item() == pytest.approx(1.6e-9)
    assert drift.field.item() == pytest.approx(0.4)


@pytest.mark.parametrize(("rule", "floor"), [("official", 1e-6), ("algorithm-2", 0.0)])
def test_a_rule_has_its_own_floor(rule: Any, floor: float):
    """The released code floors its affinities, Algorithm 2 as printed does not."""
    batch = (gaussian(1, 4, 2), gaussian(1, 4, 2, seed=1) + 9, gaussian(1, 4, 2, seed=2))
    options: dict[str, Any] = {"drop_self_pairs": False, "temperatures": (0.05,), "rule": rule}

    field, *others = (
        compute_drift(*batch, **options, affinity_floor=each).field for each in (None, 1e-6, 0.0)
    )

    assert [torch.equal(field, other) for other in others] == [floor == 1e-6, floor == 0.0]


def test_floor_revives_a_collapsed_batch():
    """Far from every positive a cold drift is zero without the floor and homes in with it."""
    generated = torch.zeros((1, 8, 16), dtype=torch.float64)
    positives = gaussian(1, 8, 16, seed=1) + 50

    def energies(floor: float) -> Tensor:
        return compute_drift(
            generated,
            positives,
            generated,
            drop_self_pairs=True,
            temperatures=OFFICIAL_TEMPERATURES,
            affinity_floor=floor,
        ).energies

    assert energies(0.0)[0] < 1e-8
    assert energies(1e-6).min() > 1e-8


def test_far_from_the_origin():
    """Float32 keeps near pairs apart at an offset of 20 in 4,096 channels."""
    x = gaussian(1, 8, 4096, dtype=torch.float32) / 100 + 20
    positives = gaussian(1, 8, 4096, seed=1, dtype=torch.float32) / 100 + 20
    options: dict[str, Any] = {"drop_self_pairs": True, "temperatures": OFFICIAL_TEMPERATURES}

    actual = compute_drift(x, positives, x, **options)
    exact = reference_drift(x, positives, x, **options)

    cosine = torch.nn.functional.cosine_similarity(actual.field.double(), exact.field, dim=2)
    assert cosine.min() > 0.9999
    assert actual.scale.item() == pytest.approx(exact.scale.item(), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype):
    """Halved inputs, under autocast too, give the field of their float32 values."""
    generated, positives, unconditional = (each.detach().to(dtype) for each in loss_batch())
    generated.requires_grad_()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, drift = drift_loss(generated, positives, unconditional, **loss_options())
    loss.backward()
    _, single = drift_loss(
        generated.float(), positives.float(), unconditional.float(), **loss_options()
    )

    assert_close(drift.field, single.field)
    assert generated.grad is not None
    assert generated.grad.dtype == dtype


@pytest.mark.parametrize(
    "edge", ["all equal", "one channel", "one positive", "no unconditional", "no weight"]
)
@pytest.mark.parametrize("floor", [0.0, 1e-6])
def test_edges_are_finite(edge: str, floor: float):
    """Degenerate batches give finite numbers."""
    generated, positives, unconditional = loss_batch(torch.float32)
    weights = torch.full((4, 3), 1.5)
    match edge:
        case "all equal":
            generated, positives, unconditional = (
                torch.ones_like(each) for each in (generated, positives, unconditional)
            )
        case "one channel":
            generated, positives, unconditional = (
                each[:, :, :1] for each in (generated, positives, unconditional)
            )
        case "one positive":
            positives = positives[:, :1]
        case "no unconditional":
            unconditional, weights = unconditional[:, :0], weights[:, :0]
        case _:
            weights = torch.zeros((4, 3))

    loss, drift = drift_loss(
        generated,
        positives,
        unconditional,
        weights=weights,
        temperatures=OFFICIAL_TEMPERATURES,
        affinity_floor=floor,
    )

    assert torch.isfinite(loss)
    assert torch.isfinite(drift.field).all()
    assert torch.isfinite(drift.energies).all()


@pytest.mark.parametrize(
    ("start", "spread"), [(0.0, 0.1), (8.0, 0.1), (2.0, 0.01)], ids=["middle", "far", "collapsed"]
)
def test_particles_cover_both_modes(start: float, spread: float):
    """From between the modes, from afar or from inside one, drifting samples find both modes."""
    generator = Generator().manual_seed(0)
    side = torch.where(torch.rand(1, 256, 1, generator=generator) < 0.5, -2.0, 2.0)
    positives = side + 0.2 * torch.randn(1, 256, 1, generator=generator)
    x = start + spread * torch.randn(1, 128, 1, generator=generator)

    for _ in range(300):
        drift = compute_drift(x, positives, x, drop_self_pairs=True, temperatures=(0.05, 0.2, 1.0))
        x = x + 0.05 * drift.unit * drift.field

    assert 0.3 < (x < 0).float().mean().item() < 0.7
    assert (x.abs() - 2).abs().median() < 0.3
