"""Where a token is."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from repro.engine.networks.positions import Rotation, cells, grid_embedding

HEAD_DIM = 8
REGISTERS = 2


def turned(kind: str, vector: Tensor) -> Tensor:
    """The same vector at each of two registers and twelve places of a 3 x 4 grid."""
    rotation = Rotation(kind, num_registers=REGISTERS, grid=(3, 4), head_dim=HEAD_DIM)  # type: ignore[arg-type]
    out: Tensor = rotation(vector.expand(REGISTERS + 12, -1))
    return out


@given(st.integers(0, 13), st.integers(0, 13), st.integers(0, 2**31))
def test_only_the_distance_matters(first: int, second: int, seed: int):
    """A query and a key meet alike wherever they are, as long as they are equally far apart."""
    query, key = torch.randn(2, HEAD_DIM, generator=torch.Generator().manual_seed(seed))
    queries, keys = turned("1d", query), turned("1d", key)
    low, high = sorted((first, second))

    torch.testing.assert_close(
        queries[low] @ keys[high], queries[0] @ keys[high - low], rtol=0, atol=1e-4
    )


def test_in_2d_only_rows_and_columns_apart_matter():
    """One row down is the same step in every column; registers are not turned."""
    query, key = torch.randn(2, HEAD_DIM, generator=torch.Generator().manual_seed(0))
    queries, keys = (turned("2d", each)[REGISTERS:].view(3, 4, HEAD_DIM) for each in (query, key))

    met = (queries[:2] * keys[1:]).sum(dim=2)
    torch.testing.assert_close(met, met[:1, :1].expand(2, 4), rtol=0, atol=1e-5)
    assert torch.equal(turned("2d", query)[:REGISTERS], query.expand(REGISTERS, -1))


@pytest.mark.parametrize("kind", ["1d", "2d"])
def test_no_length_changes(kind: str):
    """To turn is not to stretch."""
    vector = torch.randn(HEAD_DIM, generator=torch.Generator().manual_seed(0))

    lengths = turned(kind, vector).norm(dim=1)

    torch.testing.assert_close(lengths, vector.norm().expand(14))


def test_grid_embedding_by_hand():
    """Row then column, sines then cosines, at frequencies 1 and 1/100 for a width of eight."""
    embedding = grid_embedding((2, 3), 8)

    row, column = 1, 2
    expected = [
        f(place * rate)
        for place in (row, column)
        for f in (math.sin, math.cos)
        for rate in (1, 0.01)
    ]
    assert embedding.shape == (6, 8)
    torch.testing.assert_close(embedding[5], torch.tensor(expected))


def test_cells():
    """Rows come one after the other."""
    assert cells((2, 2)).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
