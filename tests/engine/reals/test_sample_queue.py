"""What a queue pushes, holds and gives to a step."""

from collections import Counter

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from repro.engine.reals.sample_queue import SampleQueue, sample_queue
from repro.engine.reals.source import Drawn
from repro.errors import RunError
from repro.spec.reals import Banks

LABELS = np.array([0, 1, 3] * 20, np.int64)
"""Sixty examples; class 2 has none."""
SPEC = Banks(class_size=8, global_size=20, pushes_per_step=6)
STARTING = evolve(SPEC, prefilled=False, underflow="with-replacement")


def steps(
    queue: SampleQueue,
    num: int,
    *,
    first: int = 0,
    num_classes: int = 2,
    num_own: int = 4,
    num_any: int = 3,
) -> list[tuple[list[int], Drawn]]:
    """The labels and reals of *num* steps, each with a generator of its own."""
    told = []
    for step in range(first, first + num):
        generator = Generator().manual_seed(step)
        labels = queue.next_labels(num_classes, generator=generator)
        drawn = queue.draw(labels, num_own=num_own, num_any=num_any, generator=generator)
        told.append((labels.tolist(), drawn))
    return told


def held(queue: SampleQueue) -> list[int]:
    """The examples in the bank of all classes."""
    size = int(queue.of_any.sizes()[0])
    drawn: list[int] = queue.of_any.draw(0, size, generator=Generator()).tolist()
    return sorted(drawn)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.sampled_from([SPEC, STARTING]))
@settings(max_examples=40, deadline=None)
def test_positives_are_of_their_class(labels: list[int], spec: Banks):
    """Whatever the data, a row's own examples have its label, and there are as many as asked."""
    known = np.array(labels, np.int64)
    queue = sample_queue(spec, known)

    for classes, drawn in steps(queue, 4):
        assert drawn.numbers.shape == (2, 4 + 3)
        for label, row in zip(classes, drawn.numbers.tolist(), strict=True):
            assert set(known[row[:4]]) == {label}


def test_draws_are_all_different():
    """Of banks that lie within one pass over the data no example is drawn twice."""
    queue = sample_queue(evolve(STARTING, pushes_per_step=60, labels="distinct"), LABELS)

    for _, drawn in steps(queue, 5, num_classes=3, num_own=8, num_any=20):
        for row in drawn.numbers.tolist():
            assert (len(set(row[:8])), len(set(row[8:]))) == (8, 20)


def test_a_pass_pushes_every_example_once():
    """Sixty examples in steps of seven: each pass is a new order of all of them."""
    queue = sample_queue(evolve(STARTING, global_size=60, pushes_per_step=7), LABELS)
    passes: list[int] = []

    for step in range(9):
        steps(queue, 1, first=step)
        passes.append(len(held(queue)))

    assert passes == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    steps(queue, 8, first=9)  # 119 pushed: the newest 60 are 59 of the second pass and one before
    assert max(Counter(held(queue)).values()) <= 2
    assert len(set(held(queue))) >= 59
    assert queue.of_any.pushed.item() == 119


def test_two_passes_have_two_orders():
    """The order of a pass is drawn when it begins."""
    queue = sample_queue(evolve(STARTING, pushes_per_step=60), LABELS)
    steps(queue, 1)
    first = queue.order.tolist()

    steps(queue, 1, first=1)

    assert sorted(first) == sorted(queue.order.tolist()) == list(range(60))
    assert queue.order.tolist() != first


def test_the_oldest_leave_first():
    """The bank of all holds the last twenty pushed, in steps of six."""
    queue = sample_queue(STARTING, LABELS)

    steps(queue, 9)

    assert held(queue) == sorted(queue.order[54 - 20 : 54].tolist())


def test_prefilled_banks_are_full():
    """Before the first step every class that the data have holds as many as its bank can."""
    queue = sample_queue(SPEC, LABELS)

    ((_, drawn),) = steps(queue, 1, num_own=8, num_any=20)

    assert queue.by_class.sizes().tolist() == [8, 8, 0, 8]
    assert queue.of_any.sizes().tolist() == [20]
    assert drawn.underflow == {"underflow/class": 0.0, "underflow/any": 0.0}


def test_small_classes_fill_their_banks_in_several_passes():
    """A class of one example fills a bank of eight with it, two fill that of twenty."""
    queue = sample_queue(SPEC, np.array([0, 1], np.int64))

    queue.next_labels(1, generator=Generator())

    assert queue.by_class.sizes().tolist() == [8, 8]
    assert queue.of_any.pushed.item() == 10 * 2 + 6


def test_banks_are_filled_once():
    """After the first step each step pushes what the spec says."""
    queue = sample_queue(SPEC, LABELS)

    steps(queue, 1)
    before = queue.of_any.pushed.item()
    steps(queue, 1, first=1)

    assert queue.of_any.pushed.item() - before == 6


def test_draws_from_banks_that_hold_too_little_are_counted():
    """Two classes of a first push of six want eight each, and seven of any."""
    queue = sample_queue(STARTING, LABELS)

    ((_, drawn),) = steps(queue, 1, num_own=8, num_any=7)

    assert drawn.underflow == {"underflow/class": 2.0, "underflow/any": 2.0}


def test_only_short_banks_are_counted():
    """Once the banks are full nothing is."""
    queue = sample_queue(STARTING, LABELS)

    told = [drawn.underflow["underflow/class"] for _, drawn in steps(queue, 20, num_own=8)]

    assert told[0] == 2.0
    assert told[-1] == 0.0
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"num_own": 8}, r"bank of class \d holds \d examples, a step draws 8, all different"),
        ({"num_own": 1, "num_any": 7}, "bank of all classes holds 6 examples, a step draws 7"),
    ],
)
def test_underflow_is_an_error(wanted: dict[str, int], message: str):
    """Unless the spec allows it nothing is drawn twice."""
    queue = sample_queue(evolve(SPEC, prefilled=False), LABELS)

    with pytest.raises(RunError, match=message):
        steps(queue, 1, **wanted)


def test_pushed_labels_are_those_of_what_was_just_pushed():
    """As many of a class as were pushed of it, when all are taken."""
    queue = sample_queue(STARTING, LABELS)

    ((classes, _),) = steps(queue, 1, num_classes=6)

    assert sorted(classes) == sorted(LABELS[held(queue)])


def test_distinct_labels_are_different_classes_that_are_held():
    """Classes come once, and none that the data do not have."""
    queue = sample_queue(evolve(SPEC, labels="distinct"), LABELS)

    assert {tuple(sorted(classes)) for classes, _ in steps(queue, 5, num_classes=3)} == {(0, 1, 3)}


def test_distinct_labels_favour_no_class():
    """One class a step of those that are held: in thirty steps each has come."""
    queue = sample_queue(evolve(SPEC, labels="distinct"), LABELS)

    drawn = steps(queue, 30, num_classes=1)
    assert {label for (label,), _ in drawn} == {0, 1, 3}


def test_more_distinct_classes_than_are_held_are_refused():
    """One push cannot bring two classes."""
    queue = sample_queue(evolve(STARTING, labels="distinct", pushes_per_step=1), LABELS)

    with pytest.raises(RunError, match="of only 1 classes are held, a step draws 2"):
        steps(queue, 1)


@pytest.mark.parametrize("spec", [SPEC, STARTING], ids=["prefilled", "starting"])
@pytest.mark.parametrize("num", [0, 1, 13])
def test_a_copied_state_goes_on_alike(spec: Banks, num: int):
    """The tensors of `state` are all that later steps depend on."""
    queue, other = (sample_queue(spec, LABELS) for _ in range(2))
    steps(queue, num)

    for name, value in queue.state().items():
        other.state()[name].copy_(value)

    for (classes, drawn), (expected, wanted) in zip(
        steps(other, 12, first=num), steps(queue, 12, first=num), strict=True
    ):
        assert classes == expected
        assert drawn.numbers.tolist() == wanted.numbers.tolist()


def test_a_state_is_small():
    """A bank holds numbers: eight bytes an entry, whatever an image takes."""
    state = sample_queue(Banks(), np.arange(1000)).state()

    size_bytes = sum(each.numel() * each.element_size() for each in state.values())
    assert size_bytes == 8 * (1000 * 128 + 1000 + 1000 + 1 + 1000 + 1)
