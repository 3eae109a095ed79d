"""An image as the network sees it: its scales, as points of circles."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.engine.edm.codec import decode, encode, on_channels, scales_of, seen_shape
from repro.spec.edm import Edm, Identity, TorusPyramid
from repro.spec.objective import Denoise

TORUS = TorusPyramid()


def images(num: int = 4, *, channels: int = 3, side: int = 8, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((num, channels, side, side), generator=generator) * 2 - 1


def blocks(state: torch.Tensor) -> list[torch.Tensor]:
    return list(state.chunk(3, dim=1))


def test_every_pair_lies_on_a_circle():
    """The pairs are (c, c + channels) of each scale, and cosines are never negative."""
    for block in blocks(encode(TORUS, images())):
        cosines, sines = block.chunk(2, dim=1)

        assert torch.allclose(cosines**2 + sines**2, torch.ones(()), atol=1e-6)
        assert (cosines >= -1e-7).all()


def test_the_data_have_half_the_variance_of_the_noise():
    """Root mean square 0.70711 about zero, whatever the images: `sigma_data` 0.5 is inherited."""
    state = encode(TORUS, images())

    assert math.isclose(state.square().mean().sqrt(), math.sqrt(0.5), rel_tol=1e-6)


@given(st.integers(0, 1000), st.sampled_from([1, 3]))
@settings(max_examples=20, deadline=None)
def test_decoding_gives_the_image_back(seed: int, channels: int):
    """Exact on [-1, 1]; beyond, the image is clamped before it is encoded."""
    some = images(seed=seed, channels=channels)

    assert torch.allclose(decode(TORUS, encode(TORUS, some)), some, atol=1e-5)
    assert torch.allclose(
        decode(TORUS, encode(TORUS, 3 * some)), (3 * some).clamp(-1, 1), atol=1e-5
    )


def test_coarse_scales_are_constant_on_their_cells():
    """Means of 2 x 2 and of 4 x 4 pixels, enlarged again."""
    some = images()
    for factor, block in zip((2, 4), blocks(encode(TORUS, some))[1:], strict=True):
        cosines, sines = block.chunk(2, dim=1)
        values = torch.atan2(sines, cosines) / (math.pi / 2)
        cells = values.unfold(2, factor, factor).unfold(3, factor, factor).flatten(4)
        means = some.unfold(2, factor, factor).unfold(3, factor, factor).flatten(4).mean(dim=4)

        assert torch.allclose(cells, means[..., None].expand_as(cells), atol=1e-5)


def test_samples_may_leave_the_circle():
    """What is decoded of any state lies in [-2, 2]; the bytes are clamped later."""
    state = torch.randn((2, 18, 4, 4), generator=torch.Generator().manual_seed(0))

    assert decode(TORUS, state).shape == (2, 3, 4, 4)
    assert decode(TORUS, state).abs().max() <= 2


def test_an_identity_changes_nothing():
    """One scale, no circle."""
    some = images()

    assert encode(Identity(), some) is some
    assert decode(Identity(), some) is some
    assert scales_of(Identity()) == ("scale-1",)


@pytest.mark.parametrize(
    ("objective", "seen"),
    [(Edm(codec=TORUS), (18, 32, 32)), (Edm(), (3, 32, 32)), (Denoise(), (3, 32, 32))],
)
def test_the_objective_says_what_a_network_sees(objective, seen):
    """Two channels for every channel and scale, or the image as it is."""
    assert seen_shape(objective, (3, 32, 32)) == seen


def test_a_level_of_a_scale_is_that_of_its_channels():
    """Blocks of equal size, the finest scale first."""
    state = torch.zeros(2, 6, 1, 1)
    levels = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

    assert on_channels(levels, state).flatten(1).tolist() == [
        [1, 1, 2, 2, 3, 3],
        [4, 4, 5, 5, 6, 6],
    ]
