"""The regression onto the moved vectors: its value, its gradient, and batches at the edge."""

from typing import Any

import pytest
import torch
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from repro.engine.drift import compute_drift, drift_loss
from repro.spec.objective import DriftField
from tests.engine.drift.batches import Batch, any_batch, assert_close, batches, gaussian

OFFICIAL = DriftField()


def loss_batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Four classes of three locations, by six generated, seven positive, three other vectors."""
    generated = gaussian(4, 3, 6, 5, dtype=dtype).requires_grad_()
    return (
        generated,
        gaussian(4, 3, 7, 5, seed=1, dtype=dtype),
        gaussian(4, 3, 3, 5, seed=2, dtype=dtype),
    )


def options(**changes: Any) -> dict[str, Any]:
    return {"field": OFFICIAL, "weights": torch.full((4, 3), 1.5), **changes}


def gradient_of(field: DriftField, **changes: Any) -> Tensor:
    generated, positives, unconditional = loss_batch()
    loss, _ = drift_loss(generated, positives, unconditional, **options(field=field, **changes))
    return torch.autograd.grad(loss, generated)[0]


@any_batch
@given(batches(), st.sampled_from(["mean", "sum"]))
def test_gradient_is_that_of_the_frozen_target(batch: Batch, over_locations: str):
    """Under every reading it is autograd's of mean((x/u - sg(x/u + V))^2): -2 V / (numel u)."""
    x = batch.x.clone().requires_grad_()
    loss, statistics = drift_loss(
        x,
        batch.positives,
        batch.negatives,
        field=batch.field,
        weights=batch.weights,
        over_locations=over_locations,  # type: ignore[arg-type]
    )
    (gradient,) = torch.autograd.grad(loss, x)

    drift = compute_drift(
        batch.x,
        batch.positives,
        batch.negatives,
        field=batch.field,
        repel_each_other=True,
        weights=batch.weights,
    )
    twin = batch.x.clone().requires_grad_()
    scaled = twin / statistics.unit[:, None, None, None]
    of_locations = (scaled - (scaled + drift.field).detach()).square().mean(dim=(0, 2, 3))
    expected = of_locations.sum() if over_locations == "sum" else of_locations.mean()
    assert_close(loss.detach(), expected.detach())
    assert_close(gradient, torch.autograd.grad(expected, twin)[0])


def test_gradient_equals_finite_differences():
    """Along any direction the loss with its target held still changes as the gradient says."""
    generated, positives, unconditional = loss_batch()
    _, statistics = drift_loss(generated, positives, unconditional, **options())
    drift = compute_drift(
        generated.detach(),
        positives,
        unconditional,
        field=OFFICIAL,
        repel_each_other=True,
        weights=torch.full((4, 3), 1.5),
    )
    target = generated.detach() / statistics.unit + drift.field
    direction = gaussian(*generated.shape, seed=9)

    def value(step: float) -> Tensor:
        moved = (generated.detach() + step * direction) / statistics.unit
        return (moved - target).square().mean()

    slope = (value(1e-5) - value(-1e-5)) / 2e-5
    assert_close((gradient_of(OFFICIAL) * direction).sum(), slope, tolerance=1e-6)


def test_gradient_follows_what_comes_after():
    """A factor on the loss is a factor on the gradient, as accumulation needs."""
    generated, positives, unconditional = loss_batch()
    loss, _ = drift_loss(generated, positives, unconditional, **options())

    (whole,) = torch.autograd.grad(loss, generated, retain_graph=True)
    (half,) = torch.autograd.grad(loss / 2, generated)

    assert_close(half, whole / 2)


def test_no_gradient_reaches_the_reals():
    """Positives and unconditional negatives are constants."""
    generated, positives, unconditional = loss_batch()
    positives.requires_grad_()
    unconditional.requires_grad_()

    loss, _ = drift_loss(generated, positives, unconditional, **options())
    loss.backward()

    assert positives.grad is None
    assert unconditional.grad is None


def test_value_of_one_temperature_is_one():
    """The official loss is flat by design: a normalized drift has a mean square of one."""
    field = evolve(OFFICIAL, temperatures=(0.2,))

    loss, statistics = drift_loss(*loss_batch(), **options(field=field))

    assert loss.item() == pytest.approx(1.0)
    assert statistics.energies.item() > 1e-8


def test_value_is_the_sum_of_correlations():
    """K normalized drifts added: the sum of <V_t, V_t'> over all pairs, so from 0 to K^2."""
    generated, positives, unconditional = loss_batch()
    normalized = [
        compute_drift(
            generated.detach(),
            positives,
            unconditional,
            field=evolve(OFFICIAL, temperatures=(T,)),
            repel_each_other=True,
            weights=torch.full((4, 3), 1.5),
        ).field
        for T in OFFICIAL.temperatures
    ]

    loss, _ = drift_loss(generated, positives, unconditional, **options())

    expected = sum((one * other).mean().item() for one in normalized for other in normalized)
    assert loss.item() == pytest.approx(expected)
    assert 0 < loss.item() <= 9


def test_temperatures_agree_on_gaussian_batches():
    """The loss of normal vectors lies near 7 of 9: neighbouring temperatures agree, far ones less.

    64 generated and 64 positive vectors of one law, without guidance.
    """
    generated, positives = (gaussian(4, 4, 64, 64, seed=seed) for seed in (0, 1))
    none, weights = positives[:, :, :0], torch.ones((4, 0))

    def normalized(temperature: float) -> Tensor:
        field = evolve(OFFICIAL, temperatures=(temperature,))
        return compute_drift(
            generated, positives, none, field=field, repel_each_other=True, weights=weights
        ).field

    cold, warm, hot = (normalized(T) for T in OFFICIAL.temperatures)
    loss, _ = drift_loss(generated, positives, none, field=OFFICIAL, weights=weights)

    assert 6.4 < loss.item() < 7.2
    assert (cold * warm).mean().item() == pytest.approx(0.79, abs=0.05)
    assert (warm * hot).mean().item() == pytest.approx(0.67, abs=0.06)
    assert (cold * hot).mean().item() == pytest.approx(0.34, abs=0.08)


def test_gradients_of_temperatures_add_up():
    """One loss over the summed drifts has the gradient of a loss for each temperature, summed."""
    apart = [gradient_of(evolve(OFFICIAL, temperatures=(T,))) for T in OFFICIAL.temperatures]

    assert_close(gradient_of(OFFICIAL), torch.stack(apart).sum(dim=0))


def test_gradient_shrinks_as_features_grow():
    """A factor on all features leaves the loss and divides its gradient."""
    generated, positives, unconditional = loss_batch()
    large = (10 * generated.detach()).requires_grad_()

    loss, _ = drift_loss(generated, positives, unconditional, **options())
    large_loss, _ = drift_loss(large, 10 * positives, 10 * unconditional, **options())

    assert_close(large_loss, loss, tolerance=1e-6)
    expected = torch.autograd.grad(loss, generated)[0] / 10
    assert_close(torch.autograd.grad(large_loss, large)[0], expected, tolerance=1e-6)


def test_padded_channels_leave_the_loss():
    """Channels of zeros change neither value nor, but for them, the direction of the gradient."""
    batch = [torch.nn.functional.pad(each.detach(), (0, 3)) for each in loss_batch()]
    padded = batch[0].requires_grad_()

    loss, _ = drift_loss(padded, *batch[1:], **options())

    narrow, _ = drift_loss(*loss_batch(), **options())
    (gradient,) = torch.autograd.grad(loss, padded)
    assert_close(loss, narrow)
    assert_close(gradient[..., 5:], torch.zeros_like(gradient[..., 5:]))
    assert_close(gradient[..., :5], gradient_of(OFFICIAL))


def test_locations_are_summed_on_demand():
    """The sum over three locations is three times their mean, and so is its gradient."""
    mean, _ = drift_loss(*loss_batch(), **options())
    summed, _ = drift_loss(*loss_batch(), **options(over_locations="sum"))

    assert_close(summed, 3 * mean)
    assert_close(gradient_of(OFFICIAL, over_locations="sum"), 3 * gradient_of(OFFICIAL))


def test_chunks_change_no_gradient():
    """One row at a time, in float32, gives the gradient of all at once."""
    generated, positives, unconditional = loss_batch(torch.float32)

    losses = [
        drift_loss(generated, positives, unconditional, **options(rows_per_chunk=rows))[0]
        for rows in (1, 5, 12)
    ]

    one, few, all_ = (torch.autograd.grad(loss, generated)[0] for loss in losses)
    assert_close(one, all_, tolerance=1e-6)
    assert_close(few, all_, tolerance=1e-6)


def test_nothing_of_the_field_waits_for_the_backward_pass():
    """What autograd keeps is the gradient: as many numbers as were generated."""
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    generated, positives, unconditional = loss_batch()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        drift_loss(generated, positives, unconditional, **options())

    assert kept == [generated.numel()]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype):
    """Halved inputs, under autocast too, give the statistics of their float32 values."""
    generated, positives, unconditional = (each.detach().to(dtype) for each in loss_batch())
    generated.requires_grad_()
    single = generated.detach().float().requires_grad_()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, statistics = drift_loss(generated, positives, unconditional, **options())
    loss.backward()
    expected, of_single = drift_loss(single, positives.float(), unconditional.float(), **options())
    expected.backward()

    assert_close(statistics.energies, of_single.energies)
    assert generated.grad is not None
    assert single.grad is not None
    assert generated.grad.dtype == dtype
    assert_close(generated.grad, single.grad.to(dtype))


@pytest.mark.parametrize(
    "edge",
    [
        "all equal",
        "constant channel",
        "one channel",
        "one positive",
        "no unconditional",
        "no weight",
    ],
)
@pytest.mark.parametrize("floor", [0.0, 1e-6])
@pytest.mark.parametrize("weights_enter", ["affinity", "logits"])
@pytest.mark.parametrize("coupling", ["joint", "separate"])
@pytest.mark.parametrize("normalized_over", ["both", "targets", "none"])
def test_edges_are_finite(
    edge: str, floor: float, weights_enter: Any, coupling: Any, normalized_over: Any
):
    """Degenerate batches give finite numbers."""
    generated, positives, unconditional = (each.detach() for each in loss_batch(torch.float32))
    weights = torch.full((4, 3), 1.5)
    match edge:
        case "all equal":
            generated, positives, unconditional = (
                torch.ones_like(each) for each in (generated, positives, unconditional)
            )
        case "constant channel":
            for each in (generated, positives, unconditional):
                each[..., 0] = 7.0
        case "one channel":
            generated, positives, unconditional = (
                each[..., :1] for each in (generated, positives, unconditional)
            )
        case "one positive":
            positives = positives[:, :, :1]
        case "no unconditional":
            unconditional, weights = unconditional[:, :, :0], weights[:, :0]
        case _:
            weights = torch.zeros((4, 3))
    generated.requires_grad_()

    loss, statistics = drift_loss(
        generated,
        positives,
        unconditional,
        weights=weights,
        field=DriftField(
            affinity_floor=floor,
            weights_enter=weights_enter,
            coupling=coupling,
            normalized_over=normalized_over,
        ),
    )
    loss.backward()

    assert torch.isfinite(loss)
    assert generated.grad is not None
    assert torch.isfinite(generated.grad).all()
    assert torch.isfinite(statistics.energies).all()
