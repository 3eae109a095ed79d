"""The objective of masked autoencoding, and the crops that it trains on."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from repro.engine import datasets
from repro.engine.datasets import EncodedImages, Images
from repro.engine.networks.mae import Mae, mae
from repro.engine.objectives.images import random_crops, random_mirrors, signed
from repro.engine.objectives.masked_autoencoding import (
    classifier_weight,
    draw_hidden,
    hidden_error,
    masked_autoencoding,
)
from repro.engine.objectives.objective import LossOut
from repro.errors import RunError
from repro.spec import network as networks
from repro.spec.data import Digits
from repro.spec.objective import ClassifierTuning, MaskedAutoencoding

SPEC = MaskedAutoencoding(batch_size=32, least_area=1.0, flip=False)
TUNED = evolve(SPEC, classify=ClassifierTuning(first_step=10, ramp_steps=4))
NETWORK = networks.Mae(width=8, blocks=(1, 1, 1, 1), num_classes=10)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def digits() -> Images:
    """Real digits, every pixel four of them: sides of 16."""
    data = datasets.LOADERS[Digits](Digits(), None)  # type: ignore[arg-type]
    assert isinstance(data, Images)
    return evolve(data, images=data.images[:].repeat(2, axis=1).repeat(2, axis=2))


def network() -> Mae:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return mae(NETWORK, (1, 16, 16))


def loss(spec: MaskedAutoencoding, *, step: int = 0, seed: int = 0) -> LossOut:
    objective = masked_autoencoding(spec, data=digits(), network_spec=NETWORK)
    return objective.loss(network(), step=step, micro=0, generator=seeded(seed))


def test_learns_to_restore_digits():
    """Forty updates on real digits take the error below three quarters of what it was."""
    model, errors = network(), list[float]()
    objective = masked_autoencoding(SPEC, data=digits(), network_spec=NETWORK)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    for step in range(40):
        out = objective.loss(model, step=step, micro=0, generator=seeded(step))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        errors.append(out.values["reconstruction"])

    assert sum(errors[-5:]) < 0.75 * sum(errors[:5])


def watched(spec: MaskedAutoencoding) -> tuple[LossOut, Tensor, Tensor, Tensor]:
    """A step, and what the network was given and gave: grid, hidden places, restoration."""
    model, seen = network(), list[Tensor]()
    model.register_forward_hook(lambda _, given, out: seen.extend((*given, out[0].detach())))
    objective = masked_autoencoding(spec, data=digits(), network_spec=NETWORK)
    out = objective.loss(model, step=0, micro=0, generator=seeded())
    grid, hidden, restored = seen
    return out, grid, hidden, restored


def test_the_error_is_that_of_what_the_network_did_not_see():
    """Whole patches of the size of the spec are hidden from it, and they are what it is asked."""
    out, grid, hidden, restored = watched(evolve(SPEC, mask_patch=4, mask_ratio=0.25))

    patches = hidden.unflatten(3, (4, 4)).unflatten(2, (4, 4))
    assert (patches == patches[:, :, :, :1, :, :1]).all()
    assert 0.15 < hidden.float().mean().item() < 0.35
    assert out.loss.item() == pytest.approx(hidden_error(restored, grid, hidden).item())


def test_images_are_cropped_and_mirrored_only_on_demand():
    """As they are; as they are or mirrored, both; parts of them."""
    _, plain, *_ = watched(SPEC)
    _, mirrored, *_ = watched(evolve(SPEC, flip=True))
    _, cropped, *_ = watched(evolve(SPEC, least_area=0.5))

    every = {each.numpy().tobytes() for each in signed(digits().images[:])}
    turned = {each.flip(2).contiguous().numpy().tobytes() for each in signed(digits().images[:])}
    assert {each.numpy().tobytes() for each in plain} <= every
    assert {each.contiguous().numpy().tobytes() for each in mirrored} <= every | turned
    assert 0 < len({each.contiguous().numpy().tobytes() for each in mirrored} & turned) < 32
    assert not {each.contiguous().numpy().tobytes() for each in cropped} & every


def test_the_error_is_summed_over_channels_and_averaged_over_hidden_places():
    """Three channels wrong by 2 are an error of 12, however many places are hidden."""
    grid = torch.zeros(2, 3, 4, 4)
    hidden = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    hidden[0, 0, :2, :2] = True

    assert hidden_error(grid + 2, grid, hidden) == 12


def test_places_that_are_shown_do_not_count():
    """Neither their value nor their gradient."""
    grid = torch.zeros(1, 1, 4, 4)
    hidden = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    hidden[..., :2, :] = True
    restored = torch.full_like(grid, 3.0, requires_grad=True)

    hidden_error(restored, grid, hidden).backward()
    assert restored.grad is not None
    assert (restored.grad != 0).equal(hidden)


def test_nothing_hidden_is_no_error():
    """A batch in which chance hid nothing gives zero, not a number that is none."""
    grid = torch.ones(1, 1, 4, 4)

    assert hidden_error(2 * grid, grid, torch.zeros_like(grid, dtype=torch.bool)) == 0


def test_hidden_patches_are_whole():
    """All four places of a patch share its fate."""
    hidden = draw_hidden(torch.empty(8, 3, 16, 16), ratio=0.5, patch=2, generator=seeded())

    patches = hidden.unflatten(3, (8, 2)).unflatten(2, (8, 2))
    assert (patches == patches[:, :, :, :1, :, :1]).all()
    assert hidden.shape == (8, 1, 16, 16)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_the_share_of_hidden_patches_is_the_ratio(ratio: float):
    """Patches are hidden independently: their number is binomial, here within 4 deviations."""
    hidden = draw_hidden(torch.empty(64, 1, 32, 32), ratio=ratio, patch=2, generator=seeded())

    num = 64 * 256
    deviation = math.sqrt(ratio * (1 - ratio) / num)
    assert abs(hidden.float().mean().item() - ratio) < 4 * deviation


@pytest.mark.parametrize(
    ("step", "weight"), [(0, 0.0), (10, 0.0), (11, 0.025), (13, 0.075), (14, 0.1), (99, 0.1)]
)
def test_the_classifier_comes_in_linearly(step: int, weight: float):
    """Nothing until `first_step`, all of the weight `ramp_steps` later (facts 1.9)."""
    assert TUNED.classify is not None
    assert classifier_weight(TUNED.classify, step=step) == pytest.approx(weight)


def test_the_tuned_loss_is_a_mixture():
    """The weight times cross-entropy, the rest of it times reconstruction."""
    out = loss(TUNED, step=12)

    expected = 0.95 * out.values["reconstruction"] + 0.05 * out.values["cross_entropy"]
    assert out.loss.item() == pytest.approx(expected)
    assert out.values.keys() == {"reconstruction", "cross_entropy", "accuracy"}


def test_before_the_tuning_the_classifier_has_no_gradient():
    """Weight decay must not shrink what nothing trains."""
    model = network()
    objective = masked_autoencoding(TUNED, data=digits(), network_spec=NETWORK)
    objective.loss(model, step=9, micro=0, generator=seeded()).loss.backward()

    assert model.classifier is not None
    assert model.classifier.weight.grad is None


def test_draws_come_from_the_generator():
    """Equal seeds give equal losses, bit for bit; another seed gives another."""
    spec = evolve(SPEC, least_area=0.2, flip=True)
    first, again, other = (loss(spec, seed=seed).loss.item() for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_latents_are_seen_in_either_view():
    """The network sees latents as they were encoded, each of the view that chance takes."""
    values = np.array([1.0, 2.0], np.float32)[None, :, None, None, None]
    encoded = EncodedImages(
        shards=(np.broadcast_to(values, (64, 2, 1, 16, 16)).copy(),),
        labels=np.zeros(64, np.int64),
        num_classes=1,
        digest="",
    )
    model, seen = network(), list[Tensor]()
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    objective = masked_autoencoding(SPEC, data=encoded, network_spec=NETWORK)

    objective.loss(model, step=0, micro=0, generator=seeded())

    (grid,) = seen
    assert grid.shape == (32, 1, 16, 16)
    assert grid.unique().tolist() == [1.0, 2.0]


def refused(data: Any, spec: MaskedAutoencoding = SPEC, **changes: Any) -> None:
    masked_autoencoding(spec, data=data, network_spec=evolve(NETWORK, **changes))


def test_unfit_data_are_refused():
    """Points, sides that hold no whole number of patches, classes without a logit."""
    with pytest.raises(RunError, match="needs images"):
        refused(datasets.Points(draw=lambda *_: torch.empty(0), digest=""))
    with pytest.raises(RunError, match="2 patches of 16 pixels do not divide 16 x 16"):
        refused(digits(), patch=16)
    with pytest.raises(RunError, match=r"has 10 classes; raise it to 10"):
        refused(digits(), TUNED, num_classes=9)


def ramp(num: int = 1, side: int = 16) -> Tensor:
    """Images whose first channel is the x of a pixel's centre in [-1, 1], the second its y."""
    centres = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y]).expand(num, 2, side, side).clone()


@given(st.integers(0, 2**31), st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_a_crop_is_a_part_of_its_image(seed: int, least_area: float):
    """Area, aspect ratio and place are within their bounds; rows and columns stay straight."""
    crop = random_crops(ramp(), least_area=least_area, generator=seeded(seed))[0]

    x, y = crop[0, 8], crop[1, :, 8]  # linear where the bicubic sees no border
    width, height = ((each[11] - each[4]).item() * 16 / 14 for each in (x, y))
    assert least_area - 0.02 <= width * height <= 1.02
    assert 3 / 4 - 0.02 <= width / height <= 4 / 3 + 0.02
    for side, middle in ((width, (x[7] + x[8]) / 2), (height, (y[7] + y[8]) / 2)):
        assert abs(middle.item()) + side <= 1.02


def test_crops_differ_between_images():
    """Every image has its own part."""
    crops = random_crops(ramp(4), least_area=0.2, generator=seeded())

    assert len({tuple(each.flatten().tolist()) for each in crops}) == 4


def test_a_crop_of_everything_is_the_image():
    """The whole area has one place, and is not resampled away."""
    images = torch.rand((3, 2, 8, 8), generator=seeded()) * 2 - 1

    crops = random_crops(images, least_area=1.0, generator=seeded())
    torch.testing.assert_close(crops, images, rtol=0, atol=1e-5)


def test_half_of_the_images_are_mirrored_exactly():
    """Left and right change places, bit for bit; of 400 images, 200 give or take 4 deviations."""
    images = ramp(400)
    mirrored = random_mirrors(images, generator=seeded())

    same = (mirrored == images).flatten(1).all(dim=1)
    turned = (mirrored == images.flip(3)).flatten(1).all(dim=1)
    assert (same ^ turned).all()
    assert abs(int(same.sum()) - 200) < 40
