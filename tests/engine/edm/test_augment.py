"""Images changed in ways that the network is told of."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.engine.edm.augment import SYMLET, Changes, augmented, changed, drawn
from repro.spec.edm import Augmentation

SIDE = 32


def changes(num: int = 1, **given: torch.Tensor | float | bool) -> Changes:
    """Nothing, but what is *given*, done to each of so many images."""
    plain = {name: torch.zeros(num) for name in ("size", "turn", "stretch", "frame")}
    plain |= {name: torch.zeros(num, dtype=torch.bool) for name in ("mirrored", "upended")}
    plain |= {"shift": torch.zeros(num, 2)}
    return Changes(
        **plain
        | {name: torch.as_tensor(each).expand_as(plain[name]) for name, each in given.items()}
    )


def blob(right: float, down: float, *, wide: float = 3.0, high: float = 3.0) -> torch.Tensor:
    """A smooth spot [1, 1, 32, 32] so many pixels from the centre."""
    places = torch.arange(SIDE) - (SIDE - 1) / 2
    across, along = ((places - right) / wide) ** 2, ((places - down) / high) ** 2
    return torch.exp(-(across[None, :] + along[:, None]) / 2)[None, None]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_filter_is_orthonormal():
    """Its even shifts are of length 1 and at right angles, and it keeps what is constant."""
    taps = torch.tensor(SYMLET, dtype=torch.float64)
    shifted = [float((taps[: len(taps) - 2 * by] * taps[2 * by :]).sum()) for by in range(6)]

    assert shifted == pytest.approx([1, 0, 0, 0, 0, 0], abs=1e-10)
    assert float(taps.sum()) == pytest.approx(math.sqrt(2), abs=1e-10)


def test_six_moments_vanish():
    """With signs in turn, the taps reversed see nothing of a polynomial of degree five."""
    taps = torch.tensor(SYMLET, dtype=torch.float64)
    places = torch.arange(12, dtype=torch.float64)
    wavelet = taps * (-1) ** places

    moments = [float((wavelet * places**power).sum()) for power in range(6)]
    assert moments == pytest.approx([0] * 6, abs=1e-4)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"mirrored": True}, blob(-6, 3)),
        ({"upended": True}, blob(6, -3)),
        ({"shift": torch.tensor([0.5, -1.0])}, blob(6 + 2, 3 - 4)),
        ({"turn": math.pi / 2}, blob(-3, 6)),
        (
            {"turn": 0.3},
            blob(6 * math.cos(0.3) - 3 * math.sin(0.3), 6 * math.sin(0.3) + 3 * math.cos(0.3)),
        ),
        ({"size": 1.0}, blob(6 * 2**0.2, 3 * 2**0.2, wide=3 * 2**0.2, high=3 * 2**0.2)),
        ({"stretch": -1.0}, blob(6 / 2**0.2, 3 * 2**0.2, wide=3 / 2**0.2, high=3 * 2**0.2)),
        (
            {"stretch": -1.0, "frame": math.pi / 2},
            blob(6 * 2**0.2, 3 / 2**0.2, wide=3 * 2**0.2, high=3 / 2**0.2),
        ),
    ],
    ids=["mirrored", "upended", "shift", "quarter", "turn", "size", "stretch", "frame"],
)
def test_a_spot_goes_where_it_should(given, expected):
    """And has the size that it should have, to a fiftieth of its height."""
    found = changed(blob(6, 3), changes(**given))

    assert torch.allclose(found, expected, atol=0.02)


def test_a_turn_all_the_way_round_changes_nothing():
    """Twice the resolution and back is the same image, but at its borders."""
    images = torch.rand((2, 3, SIDE, SIDE), generator=generator()) * 2 - 1

    found = changed(images, changes(2, turn=2 * math.pi))

    inner = slice(8, -8)
    assert not torch.equal(found, images)
    assert torch.allclose(found[..., inner, inner], images[..., inner, inner], atol=2e-3)


def test_an_image_that_nothing_is_done_to_is_as_it_was():
    """In every bit, whatever is done to others; and only of it the network is told zeros."""
    images = torch.rand((200, 1, 8, 8), generator=generator())

    found, told = augmented(Augmentation(), images, generator=generator(1))

    plain = ~told.any(dim=1)
    assert 10 < int(plain.sum()) < 100
    assert torch.equal(found[plain], images[plain])
    assert (found[~plain] != images[~plain]).flatten(1).any(dim=1).all()


@given(st.floats(0, 0.99))
@settings(max_examples=10, deadline=None)
def test_each_change_befalls_an_image_as_often_as_asked(probability: float):
    """By itself; left and right are exchanged by a fair coin, whatever is asked."""
    found = drawn(Augmentation(probability=probability), 20_000, generator=generator())

    assert float(found.mirrored.float().mean()) == pytest.approx(0.5, abs=0.02)
    assert float(found.upended.float().mean()) == pytest.approx(probability / 2, abs=0.02)
    for each in (found.size, found.turn, found.stretch, found.shift[:, 0]):
        assert float((each != 0).float().mean()) == pytest.approx(probability, abs=0.02)


def test_the_numbers_are_those_of_the_paper():
    """Mirrored, upended, size, cos - 1 and sin of the turn, the stretch by its frame, the shift."""
    found = changes(
        mirrored=True, size=0.4, turn=1.1, stretch=-0.7, frame=0.6, shift=torch.tensor([0.2, -0.3])
    ).numbers()

    expected = [1, 0, 0.4, math.cos(1.1) - 1, math.sin(1.1)]
    expected += [-0.7 * math.cos(0.6), -0.7 * math.sin(0.6), 0.2, -0.3]
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)
