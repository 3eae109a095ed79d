"""A ring holds exactly the newest of what was pushed, and gives it out without repeats."""

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from repro.engine.reals.ring_buffers import RingBuffers, empty_rings

NUM_RINGS = 3
BATCHES = st.lists(st.lists(st.integers(0, NUM_RINGS - 1), max_size=12), max_size=8)


def images(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """A recognizable image [2, 2] for each number."""
    return numbers[:, None, None].expand(-1, 2, 2).to(dtype)


def contents(rings: RingBuffers) -> list[list[float]]:
    """What each ring gives when it is asked for all that it holds."""
    sizes = rings.sizes().tolist()
    drawn = [rings.draw(ring, size, generator=Generator()) for ring, size in enumerate(sizes)]
    return [sorted(each.flatten(1)[:, 0].tolist()) for each in drawn]


@given(BATCHES, st.integers(1, 5), st.sampled_from([torch.uint8, torch.float32, torch.float16]))
@settings(max_examples=100, deadline=None)
def test_a_ring_holds_the_newest(batches: list[list[int]], capacity: int, dtype: torch.dtype):
    """After every push, of any type, each ring holds what a queue of Python with a length does."""
    rings = empty_rings(NUM_RINGS, capacity, shape=(2, 2), dtype=dtype)
    model = [deque[float](maxlen=capacity) for _ in range(NUM_RINGS)]
    num = 0

    for batch in batches:
        numbers = torch.arange(num, num + len(batch))
        num += len(batch)
        rings.push(torch.tensor(batch, dtype=torch.int64), images(numbers, dtype))
        for ring, number in zip(batch, numbers.tolist(), strict=True):
            model[ring].append(number)

        assert contents(rings) == [sorted(each) for each in model]


@given(st.lists(st.integers(0, NUM_RINGS - 1), min_size=1, max_size=20), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_a_batch_is_pushed_as_its_entries_one_by_one(batch: list[int], capacity: int):
    """Both leave the same state, bit for bit, also where a batch is larger than a ring."""
    together, apart = (empty_rings(NUM_RINGS, capacity, dtype=torch.int64) for _ in range(2))
    rings, entries = torch.tensor(batch), torch.arange(len(batch))

    together.push(rings, entries)
    for each in range(len(batch)):
        apart.push(rings[each : each + 1], entries[each : each + 1])

    assert together.pushed.tolist() == apart.pushed.tolist()
    assert together.entries.tolist() == apart.entries.tolist()


def full(*, capacity: int = 8) -> RingBuffers:
    rings = empty_rings(1, capacity, dtype=torch.int64)
    rings.push(torch.zeros(capacity, dtype=torch.int64), torch.arange(capacity))
    return rings


@pytest.mark.parametrize("num", [0, 1, 5, 8])
def test_a_draw_repeats_nothing_while_there_is_enough(num: int):
    """Up to all that is held, every entry comes at most once."""
    drawn = full().draw(0, num, generator=Generator().manual_seed(0)).tolist()

    assert len(set(drawn)) == len(drawn) == num


def test_a_draw_of_more_than_is_held_repeats():
    """It gives as many as were asked for, all of them held."""
    drawn = full().draw(0, 100, generator=Generator().manual_seed(0)).tolist()

    assert len(drawn) == 100
    assert set(drawn) == set(range(8))


def test_a_draw_favours_no_place():
    """Of 4,000 draws of 2 out of 8 each entry is in a quarter, the oldest and the newest alike."""
    rings, generator = full(), Generator().manual_seed(0)

    drawn = torch.cat([rings.draw(0, 2, generator=generator) for _ in range(4_000)])

    shares = torch.bincount(drawn, minlength=8) / 4_000
    assert shares.tolist() == pytest.approx([0.25] * 8, abs=0.03)  # 4 standard errors
