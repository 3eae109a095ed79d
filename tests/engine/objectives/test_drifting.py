"""What a drifting step draws, asks of the generator and tells."""

from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve, frozen
from torch import Generator, Tensor, nn

from repro.engine import datasets
from repro.engine.datasets import Images
from repro.engine.drift.reference import reference_drift
from repro.engine.networks.conv_encoder import ConvEncoder, conv_encoder
from repro.engine.networks.conv_generator import conv_generator
from repro.engine.networks.dit import dit
from repro.engine.networks.mlp import mlp
from repro.engine.objectives.drifting import drifting, summed_loss
from repro.engine.objectives.objective import LossOut, Stateful
from repro.errors import RunError
from repro.spec import network as networks
from repro.spec.data import StandIn, SwissRoll
from repro.spec.objective import Drifting, FixedAlpha
from repro.spec.reals import Banks, NearestPositives

GENERATOR = networks.ConvGenerator(noise_dim=4, channels=(8, 8), conditioning_dim=8, num_classes=4)
SPEC = Drifting(
    num_classes_per_step=3,
    num_generated=5,
    num_positive=4,
    num_unconditional=2,
    features=("pixels",),
)
HALVES = (slice(0, 32), slice(32, 64))
TOY_NETWORK = networks.Mlp(noise_dim=8, hidden=(64, 64))
TOY = Drifting(
    num_classes_per_step=1,
    num_generated=128,
    num_positive=128,
    num_unconditional=0,
    alpha=FixedAlpha(),
)


class Recorder(nn.Module):
    """A generator that keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.network = conv_generator(GENERATOR, (1, 8, 8))
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, noise: Tensor, labels: Tensor, alpha: Tensor) -> Tensor:
        self.calls.append((noise, labels, alpha))
        images: Tensor = self.network(noise, labels, alpha)
        return images


class Camera(ConvEncoder):
    """An encoder that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__(networks.ConvEncoder(channels=(8, 8)), channels=1, num_classes=4)
        self.shown: list[Tensor] = []

    def features(self, x: Tensor) -> dict[str, Tensor]:
        self.shown.append(x.detach())
        return super().features(x)


class TwoPlaces(Camera):
    """An encoder of two places: the upper half of an image and the lower."""

    def features(self, x: Tensor) -> dict[str, Tensor]:
        self.shown.append(x.detach())
        return {"half": x.reshape(len(x), 2, -1)}


def labelled(num_images: int = 40, num_classes: int = 4) -> Images:
    """Images of 8 x 8 pixels, the first of which tell the class, the others the image."""
    labels = np.arange(num_images, dtype=np.int64) % num_classes
    images = np.zeros((num_images, 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = labels
    images[:, 1, :, :] = np.arange(num_images, dtype=np.uint8)[:, None, None]
    return Images(images=images, labels=labels, num_classes=num_classes, digest="")


def step(spec: Drifting = SPEC, *, seed: int = 0, **changes: Any) -> tuple[LossOut, Recorder]:
    """One step of an untrained generator that is always the same."""
    torch.manual_seed(0)
    network = Recorder()
    objective = drifting(spec, network_spec=GENERATOR, **{"data": labelled(), **changes})
    generator = Generator().manual_seed(seed)
    return objective.loss(network, step=0, micro=0, generator=generator), network


def pixels(images: Tensor, row: int) -> list[int]:
    return [int(value) for value in ((images[:, 0, row, 0] + 1) * 127.5).round()]


def test_one_call_makes_every_sample():
    """The generator is called once for N samples of each class, with one alpha a class."""
    _, network = step()

    ((noise, labels, alpha),) = network.calls
    groups = list(zip(labels.view(3, 5), alpha.view(3, 5), strict=True))
    assert noise.shape == (15, 4)
    assert [len(set(each.tolist())) for pair in groups for each in pair] == [1] * 6
    assert len(set(labels.tolist())) == 3
    assert alpha.min() >= 1
    assert alpha.max() <= 4


def test_a_transformer_starts_from_noise_of_the_image_and_from_style():
    """Every sample has noise of an image's shape, and its own style index for every token."""
    spec = networks.Dit(
        depth=1,
        num_heads=1,
        head_dim=8,
        num_classes=4,
        num_style_tokens=6,
        num_style_codes=9,
    )
    network = dit(spec, (1, 8, 8))
    seen: list[tuple[Tensor, ...]] = []
    network.register_forward_pre_hook(lambda _, batch: seen.append(batch))
    objective = drifting(SPEC, data=labelled(), network_spec=spec)

    out = objective.loss(network, step=0, micro=0, generator=Generator().manual_seed(0))
    out.loss.backward()

    ((noise, labels, _, style),) = seen
    assert noise.shape == (15, 1, 8, 8)
    assert len(labels) == 15
    assert style.shape == (15, 6)
    assert len({tuple(each) for each in style.tolist()}) == 15
    assert network.head.projection.weight.grad is not None  # all that the first update can move
    assert network.head.projection.weight.grad.abs().max() > 0


def test_reals_are_of_their_class():
    """The positives of a class are different images of it; any class is among the others."""
    camera = Camera()

    _, network = step(evolve(SPEC, features=("encoder",)), encoder=camera)

    ((_, labels, _),) = network.calls
    (reals,) = [each for each in camera.shown if len(each) == 3 * (4 + 2)]
    for label, rows in zip(labels[::5].tolist(), reals.view(3, 6, 1, 8, 8), strict=True):
        assert pixels(rows, 0)[:4] == [label] * 4
        assert len(set(pixels(rows, 1)[:4])) == 4


def test_every_class_is_guided_by_its_own_alpha():
    """Three classes, two places each: the rows, and their weights, spelled out."""
    camera = TwoPlaces()

    out, network = step(evolve(SPEC, features=("encoder",)), encoder=camera)

    alpha = network.calls[0][2].view(3, 5)[:, 0].tolist()
    generated, reals = sorted(camera.shown, key=len)
    x = generated.view(3, 5, 2, 32).transpose(1, 2)
    y = reals.view(3, 6, 2, 32).transpose(1, 2)
    expected = reference_drift(
        x,
        y[:, :, :4],
        y[:, :, 4:],
        field=SPEC,
        repel_each_other=True,
        weights=torch.tensor([[(each - 1) * 4 / 2] * 2 for each in alpha]),
    ).statistics
    assert len(set(alpha)) == 3
    assert out.values["scale/half"] == pytest.approx(expected.scale.item(), rel=1e-5)
    assert [out.values[f"energy/half/{T}"] for T in ("0.02", "0.05", "0.2")] == pytest.approx(
        expected.energies.flatten().tolist(), rel=1e-4
    )


def shown_reals(**changes: Any) -> Tensor:
    """The reals [3 x (4 + 2), 1, 8, 8] of a step that crops or mirrors them."""
    camera = Camera()
    step(evolve(SPEC, features=("encoder",), **changes), encoder=camera)
    (reals,) = [each for each in camera.shown if len(each) == 3 * (4 + 2)]
    return reals


def test_reals_may_be_mirrored():
    """By chance, each for itself: some are the image, the others its mirror image, to the bit."""
    plain, mirrored = shown_reals(), shown_reals(flip=True)

    same = (mirrored == plain).flatten(1).all(dim=1)
    turned = (mirrored == plain.flip(3)).flatten(1).all(dim=1)
    assert (same | turned).all()
    assert 0 < int(same.sum()) < len(plain)


def test_reals_may_be_cropped():
    """No part of less than the whole is the image; the samples are not touched."""
    plain, cropped = shown_reals(), shown_reals(least_area=0.2)

    assert cropped.shape == plain.shape
    assert not (cropped == plain).flatten(1).all(dim=1).any()
    assert cropped.abs().max() <= 1


def queued(**changes: Any) -> Drifting:
    """The step of this page, with reals from small banks."""
    sizes = {"class_size": 6, "global_size": 12, "pushes_per_step": 5}
    return evolve(SPEC, queue=Banks(**sizes | changes))


def test_a_queue_gives_reals_of_their_class():
    """Labels, positives and what the generator is asked for belong together."""
    camera = Camera()

    _, network = step(evolve(queued(), features=("encoder",)), encoder=camera)

    ((_, labels, _),) = network.calls
    (reals,) = [each for each in camera.shown if len(each) == 3 * (4 + 2)]
    for label, rows in zip(labels[::5].tolist(), reals.view(3, 6, 1, 8, 8), strict=True):
        assert pixels(rows, 0)[:4] == [label] * 4


@pytest.mark.parametrize(("prefilled", "short"), [(True, 0.0), (False, 3.0)])
def test_a_queue_tells_its_underflow(*, prefilled: bool, short: float):
    """A first push of five cannot hold four of each of three classes."""
    out, _ = step(queued(prefilled=prefilled, underflow="with-replacement"))

    assert out.values["underflow/class"] == short
    assert out.values["underflow/any"] == 0.0


def test_the_state_of_a_drift_is_its_queue_and_its_kernel():
    """Without a queue nothing else is to remember."""
    with_queue, without = (
        drifting(spec, data=labelled(), network_spec=GENERATOR) for spec in (queued(), SPEC)
    )

    assert isinstance(with_queue, Stateful)
    assert isinstance(without, Stateful)
    assert set(with_queue.state()) >= {"order", "passed", "by_class.entries"}
    assert set(without.state()) == {"drift_kernel"}


@frozen
class Unbuilt:
    """A queue of a package that can name it and cannot build it."""

    kind = "unbuilt"


def test_a_queue_that_nobody_builds_is_refused():
    """The error says what its package must do."""
    queue: Any = Unbuilt()

    with pytest.raises(RunError, match="'unbuilt': no installed package builds it"):
        step(evolve(SPEC, queue=queue))


def test_the_nearest_positives_attract():
    """Of eight candidates a class, the four nearest to its samples are those of the loss."""
    camera = TwoPlaces()
    rule = NearestPositives(num_candidates=8, feature="half")
    spec = evolve(SPEC, features=("encoder",), nearest_positives=rule, alpha=FixedAlpha())

    out, _ = step(evolve(spec, num_unconditional=0), encoder=camera)

    generated, reals = (each.view(3, -1, 64) for each in sorted(camera.shown, key=len))
    assert (generated.shape[1], reals.shape[1]) == (5, 8)
    distance = torch.cdist(reals, generated).amin(dim=2)
    nearest = torch.stack(
        [seen[order[:4]] for seen, order in zip(reals, distance.argsort(dim=1), strict=True)]
    )
    targets = torch.cat([generated, nearest], dim=1)
    scale = torch.stack(
        [torch.cdist(generated[:, :, half], targets[:, :, half]) for half in HALVES]
    ).mean()
    assert out.values["scale/half"] == pytest.approx(scale.item(), rel=1e-3)


def test_a_small_class_repeats_its_reals():
    """A class with fewer images than positives is drawn from with replacement, and counted."""
    out, _ = step(data=labelled(num_images=8))

    assert torch.isfinite(out.loss)
    assert out.values["underflow/class"] == 3.0
    assert out.values["underflow/any"] == 0.0


def test_a_small_data_set_repeats_what_stands_for_any_class():
    """So does a data set with fewer images than unconditional reals, once for each class."""
    out, _ = step(evolve(SPEC, num_unconditional=41))

    assert out.values["underflow/class"] == 0.0
    assert out.values["underflow/any"] == 3.0


def test_values_tell_energy_and_scale():
    """Every space tells its scale, and its energy at each temperature."""
    out, _ = step(evolve(SPEC, features=("pixels", "encoder")), encoder=Camera())

    stages = [f"stage{index}{part}" for index in (1, 2) for part in ("", "_mean", "_std")]
    keys = ["pixels", "norm_x", *stages]
    energies = {f"energy/{key}/{T}" for key in keys for T in ("0.02", "0.05", "0.2")}
    scales = {f"scale/{key}" for key in keys}
    assert set(out.values) == energies | scales | {"underflow/class", "underflow/any"}


def test_reals_are_let_go_when_their_key_is_done():
    """No features of reals are left when all keys have had their turn."""
    generated, reals = (
        {key: torch.randn((2 * num, 3, 4)) for key in ("a", "b")} for num in (5, 4 + 2)
    )

    summed_loss(SPEC, generated=generated, reals=reals, alpha=torch.ones(2))

    assert reals == {}


def test_losses_of_keys_are_summed():
    """Two keys together lose what each of them loses alone, at its own scale."""
    generated, reals = (
        {key: factor * torch.randn((2 * num, 3, 4)) for key, factor in (("a", 1), ("b", 9))}
        for num in (5, 4 + 2)
    )

    def loss(*keys: str) -> LossOut:
        return summed_loss(
            SPEC,
            generated={key: generated[key] for key in keys},
            reals={key: reals[key] for key in keys},
            alpha=torch.tensor([1.0, 3.0]),
        )

    both, first, second = loss("a", "b"), loss("a"), loss("b")
    assert both.loss.item() == pytest.approx(first.loss.item() + second.loss.item())
    assert both.values == {**first.values, **second.values}


def test_pixels_may_drift_by_another_rule():
    """The key `pixels` loses what it loses alone under that rule, all others what they did."""
    generated, reals = ({key: torch.randn((2 * num, 3, 4)) for key in "ab"} for num in (5, 6))
    raw = evolve(SPEC, rule="algorithm-2", affinity_floor=0.0)

    def loss(spec: Drifting, **names: str) -> Tensor:
        return summed_loss(
            spec,
            generated={name: generated[key] for name, key in names.items()},
            reals={name: reals[key] for name, key in names.items()},
            alpha=torch.ones(2),
        ).loss

    together = loss(evolve(SPEC, pixels_rule="algorithm-2"), pixels="a", stage1="b")

    torch.testing.assert_close(together, loss(raw, pixels="a") + loss(SPEC, stage1="b"))
    assert together != loss(SPEC, pixels="a", stage1="b")


def test_draws_come_from_the_generator():
    """Equal seeds give equal losses, bit for bit; another seed gives another."""
    first, again, other = (step(seed=seed)[0] for seed in (1, 1, 2))

    assert first.loss.item() == again.loss.item()
    assert first.values == again.values
    assert first.values != other.values


def test_only_the_generator_learns():
    """The encoder is frozen; a gradient reaches every weight of the generator through it."""
    camera = Camera()
    out, network = step(evolve(SPEC, features=("encoder",)), encoder=camera)

    out.loss.backward()

    assert all(weight.grad is None for weight in camera.parameters())
    assert all(
        weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters()
    )


def test_points_spread_over_their_law():
    """A hundred updates take the samples of the toy from a spot to the width of the spiral."""
    torch.manual_seed(0)
    network = mlp(TOY_NETWORK)
    points = datasets.LOADERS[SwissRoll](SwissRoll(), None)  # type: ignore[arg-type]
    objective = drifting(TOY, data=points, network_spec=TOY_NETWORK)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    noise = torch.randn((512, 8), generator=Generator().manual_seed(0))
    before = network(noise).std(dim=0).max().item()

    for index in range(100):
        out = objective.loss(network, step=index, micro=0, generator=Generator().manual_seed(index))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()

    after = network(noise).std(dim=0).min().item()
    assert before < 0.15
    assert after > 0.3


@pytest.mark.parametrize(
    ("spec", "data", "message"),
    [
        (evolve(SPEC, num_classes_per_step=5), labelled(), "only 4 classes"),
        (SPEC, labelled(num_classes=8), "raise it to 8"),
    ],
)
def test_classes_must_be_there(spec: Drifting, data: Images, message: str):
    """A step cannot draw more classes than there are, nor a generator make unknown ones."""
    with pytest.raises(RunError, match=message):
        step(spec, data=data)


def test_stand_in_images_drift():
    """A step on the images of a rehearsal is finite."""
    data = datasets.LOADERS[StandIn](StandIn(height=8, width=8, channels=1), None)  # type: ignore[arg-type]
    spec = networks.ConvGenerator(noise_dim=4, channels=(8, 8), conditioning_dim=8)
    encoder = conv_encoder(networks.ConvEncoder(channels=(8,)), (1, 8, 8), 10)
    network = conv_generator(spec, (1, 8, 8))

    out = drifting(
        evolve(SPEC, features=("pixels", "encoder")),
        data=data,
        network_spec=spec,
        encoder=encoder,
    ).loss(network, step=0, micro=0, generator=Generator().manual_seed(0))

    assert torch.isfinite(out.loss)
