"""Vectors of one map, held to numpy in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from repro.engine.features.maps import (
    EPS,
    locations,
    map_vectors,
    moments,
    norm_x,
    patch_moments,
)
from repro.spec.map_keys import STATISTICS


def feature_map(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed), dtype=dtype)


def shapes(x: Tensor) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in map_vectors("m", x, STATISTICS)}


def test_a_map_gives_seven_keys():
    """Places, mean and deviation, and those of patches of two sizes."""
    assert shapes(feature_map(3, 5, 8, 8)) == {
        "m": (3, 64, 5),
        "m_mean": (3, 1, 5),
        "m_std": (3, 1, 5),
        "m_mean_2": (3, 16, 5),
        "m_std_2": (3, 16, 5),
        "m_mean_4": (3, 4, 5),
        "m_std_4": (3, 4, 5),
    }


def test_deviations_may_stand_alone():
    """The second of the two vectors over a map, under the key that it has beside the first."""
    x = feature_map(3, 5, 8, 8)

    ((key, deviation),) = map_vectors("m", x, ["std"])

    assert key == "m_std"
    assert torch.equal(deviation, dict(map_vectors("m", x, ["mean-std"]))[key])


@pytest.mark.parametrize(
    ("sides", "missing"), [((6, 6), {"_4"}), ((4, 6), {"_4"}), ((7, 8), {"_2", "_4"})]
)
def test_patches_that_do_not_divide_the_map_give_no_key(sides: tuple[int, int], missing: set[str]):
    """A patch is whole or absent."""
    keys = set(shapes(feature_map(1, 2, *sides)))

    assert keys == {f"m{suffix}" for suffix in ("", "_mean", "_std")} | {
        f"m_{what}{size}" for what in ("mean", "std") for size in {"_2", "_4"} - missing
    }


def test_a_location_is_the_vector_at_its_place():
    """Places are counted row by row."""
    x = feature_map(2, 3, 4, 5)

    assert (locations(x)[:, 2 * 5 + 3] == x[:, :, 2, 3]).all()


@given(st.integers(0, 99), st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_patch_moments_are_those_of_their_pixels(seed: int, side: int, rows: int, columns: int):
    """Every patch has the mean and the biased deviation of its own places, row by row."""
    x = feature_map(2, 3, rows * side, columns * side, seed=seed)
    mean, deviation = patch_moments(x, side)

    for index in range(rows * columns):
        top, left = index // columns * side, index % columns * side
        patch = x[:, :, top : top + side, left : left + side].numpy()
        np.testing.assert_allclose(mean[:, index], patch.mean(axis=(2, 3)), atol=1e-12)
        expected = np.sqrt(patch.var(axis=(2, 3)) + EPS)
        np.testing.assert_allclose(deviation[:, index], expected, atol=1e-12)


def test_the_moments_of_a_map_are_those_of_its_only_patch():
    """Mean and deviation over the map are the case of one patch."""
    x = feature_map(2, 3, 4, 4)

    for whole, patch in zip(moments(x), patch_moments(x, 4), strict=True):
        torch.testing.assert_close(whole, patch, rtol=0, atol=1e-14)


def test_norm_x_is_a_root_mean_square():
    """The root is taken, unlike the paper's text (facts, ambiguity 14)."""
    x = feature_map(2, 3, 4, 4)

    expected = np.sqrt((x.numpy() ** 2).mean(axis=(2, 3)) + EPS)[:, None]
    np.testing.assert_allclose(norm_x(x), expected, rtol=1e-14)


def test_statistics_of_half_precision_are_taken_in_single():
    """A deviation far from zero is not lost in eight bits; places stay as they are."""
    x = (100 + feature_map(1, 2, 16, 16, dtype=torch.float32)).bfloat16()
    vectors = dict(map_vectors("m", x, STATISTICS))

    assert vectors["m"].dtype == torch.bfloat16
    assert vectors["m_std"].dtype == torch.float32
    torch.testing.assert_close(
        vectors["m_std"][0, 0], x.double().std(dim=(2, 3), correction=0)[0].float()
    )
    exact = dict(map_vectors("m", x.float(), STATISTICS))
    assert all(torch.equal(vectors[key], exact[key]) for key in exact if key != "m")
    assert torch.equal(norm_x(x), norm_x(x.float()))


@pytest.mark.parametrize("level", [-1.0, 0.0])
def test_a_constant_map_has_a_gradient(level: float):
    """The root of no variance does not divide by zero."""
    x = torch.full((1, 2, 4, 4), level, requires_grad=True)

    torch.cat([v.flatten() for _, v in map_vectors("m", x, STATISTICS)]).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
