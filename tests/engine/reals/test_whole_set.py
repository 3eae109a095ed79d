"""Reals drawn from all of the data, without a queue."""

import numpy as np
import pytest
import torch
from torch import Generator

from repro.engine.reals.source import Drawn
from repro.engine.reals.whole_set import whole_set

LABELS = np.array([0, 1, 1, 3] * 10, np.int64)
"""Forty examples; class 2 has none, class 1 twice as many as the others."""


def drawn(label: int, *, num_own: int, num_any: int, seed: int = 0) -> Drawn:
    return whole_set(LABELS).draw(
        torch.tensor([label]),
        num_own=num_own,
        num_any=num_any,
        generator=Generator().manual_seed(seed),
    )


def test_classes_of_a_step_are_different_and_there():
    """All that the data have, each as often as the others."""
    source, generator = whole_set(LABELS), Generator().manual_seed(0)

    told = [sorted(source.next_labels(2, generator=generator).tolist()) for _ in range(300)]

    counts = {pair: told.count(list(pair)) for pair in ((0, 1), (0, 3), (1, 3))}
    assert sum(counts.values()) == 300
    assert min(counts.values()) > 60  # a third each, less five deviations


def test_examples_are_of_their_class_or_of_any():
    """All different; any example may stand for any class, in its share."""
    row = drawn(1, num_own=20, num_any=40).numbers[0].tolist()

    assert sorted(row[:20]) == np.flatnonzero(LABELS == 1).tolist()
    assert sorted(row[20:]) == list(range(40))


def test_draws_come_from_the_generator():
    """Both kinds of examples: equal seeds draw alike, others do not."""
    first, again, other = (
        drawn(3, num_own=4, num_any=4, seed=seed).numbers[0] for seed in (1, 1, 2)
    )

    assert first.tolist() == again.tolist()
    assert first[:4].tolist() != other[:4].tolist()
    assert first[4:].tolist() != other[4:].tolist()


@pytest.mark.parametrize(
    ("num_own", "num_any", "short", "short_of_any"),
    [(10, 40, 0.0, 0.0), (11, 40, 1.0, 0.0), (10, 41, 0.0, 1.0)],
)
def test_what_is_repeated_is_counted(num_own: int, num_any: int, short: float, short_of_any: float):
    """A class of ten holds ten different examples, the data forty."""
    told = drawn(0, num_own=num_own, num_any=num_any).underflow

    assert told == {"underflow/class": short, "underflow/any": short_of_any}
