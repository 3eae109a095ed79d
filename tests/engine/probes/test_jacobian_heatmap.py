"""The energy of a Jacobian, estimated without it; and what a grid of energies says."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from repro.engine.probes.jacobian_heatmap import energies_of, picture, share_of_others

SCALES, CHANNELS, SIDE = 3, 6, 2
SIZE = CHANNELS * SIDE * SIDE
STATE = torch.zeros(2, CHANNELS, SIDE, SIDE)


def signs(num: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randint(0, 2, (num, *STATE.shape), generator=generator).float() - 1


def linear(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda state: (state.flatten(1) @ matrix.T).reshape(state.shape)


def norms(matrix: Tensor) -> list[float]:
    """||J_s||_F^2 / (H W)^2 for the rows of every scale."""
    return [float(each.square().sum()) / SIDE**4 for each in matrix.chunk(SCALES)]


def test_a_diagonal_map_is_measured_exactly():
    """Directions of +1 and -1 have no variance there."""
    matrix = torch.diag(torch.arange(1.0, SIZE + 1))

    found = energies_of(linear(matrix), STATE, scales=SCALES, directions=signs(1))

    assert found.tolist() == pytest.approx(norms(matrix), rel=1e-5)


def test_any_map_is_measured_without_bias():
    """The mean over many directions is the squared Frobenius norm of a scale's rows."""
    matrix = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(1))

    found = energies_of(linear(matrix), STATE, scales=SCALES, directions=signs(2000))

    assert found.tolist() == pytest.approx(norms(matrix), rel=0.05)


def test_two_backward_passes_agree_with_differences():
    """J u of a map that is not linear, against a central difference."""
    matrix = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    inner = linear(matrix / 8)
    state = torch.randn(STATE.shape, generator=torch.Generator().manual_seed(2)).double()

    def map_of(value: Tensor) -> Tensor:
        return inner(value.float()).double().tanh() * value

    [direction] = signs(1)
    found = energies_of(map_of, state, scales=SCALES, directions=direction[None].double())
    step = 1e-3 * direction / SIDE
    moved = (map_of(state + step) - map_of(state - step)) / 2e-3
    expected = moved.square().flatten(2).sum(2).unflatten(1, (SCALES, -1)).sum(2).mean(0) / SIDE**2

    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-2)


def test_what_depends_on_its_own_level_alone_owes_nothing_to_others():
    """Rows that are constant along the other axis, and columns that are not."""
    own = np.arange(5.0)[:, None].repeat(4, axis=1)

    assert share_of_others(own, own=0) == 0
    assert share_of_others(own, own=1) == pytest.approx(1)
    assert share_of_others(own + np.arange(4.0), own=0) == pytest.approx(1.25 / 3.25)


def test_the_picture_has_a_panel_for_each_table():
    """Two rows, the finest scale above."""
    tables = [np.exp(np.random.RandomState(i).standard_normal((3, 3, 2))) for i in range(5)]

    with Image.open(io.BytesIO(picture(tables))) as image:
        assert image.size == (5 * (3 * 12 + 4), 2 * (3 * 12 + 4))
