"""What changed between two pieces of plain data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro import digest
from repro.report.changes import changes

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, "a", "b"])
KEYS = st.sampled_from(["name", "kind", "x", "y"])
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def said(old, new):
    """The lines of the changes."""
    return [str(each) for each in changes(old, new)]


@given(DATA, DATA)
def test_nothing_changed_if_and_only_if_the_canonical_bytes_are_equal(old, new):
    """No difference that moves an id is passed over, and nothing else is reported."""
    assert (changes(old, new) == ()) == (digest.canonical(old) == digest.canonical(new))


@given(DATA, DATA)
def test_a_change_there_is_a_change_back(old, new):
    """As many values change from the second to the first as from the first to the second."""
    assert len(changes(old, new)) == len(changes(new, old))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ({"train": {"lr": 1e-4}}, {"train": {"lr": 2e-4}}, "train.lr: 0.0001 -> 0.0002"),
        ({}, {"encoder": {"kind": "conv"}}, 'encoder: added, {"kind": "conv"}'),
        ({"notes": "x"}, {}, 'notes: removed, was "x"'),
        ({"select": None}, {"select": 1}, "select: none -> 1"),
        ({"channels": [16, 32]}, {"channels": [16, 64]}, "channels: [16, 32] -> [16, 64]"),
        ({"n": 1}, {"n": 1.0}, "n: 1 -> 1.0"),
    ],
)
def test_a_change_is_a_line(old, new, line):
    """A path, the old value, the new value."""
    assert said(old, new) == [line]


def test_a_new_entry_of_an_array_leaves_the_others_alone():
    """Entries are told apart by their names, not by their places."""
    first, second = {"name": "a", "n": 1}, {"name": "b", "n": 2}

    assert said([second], [first, {**second, "n": 3}]) == [
        "b.n: 2 -> 3",
        'a: added, {"name": "a", "n": 1}',
    ]


def test_another_order_of_named_entries_is_a_change():
    """The order of an array is in an id, so it is said."""
    entries = [{"kind": "fid"}, {"kind": "kid"}]

    assert said({"metrics": entries}, {"metrics": entries[::-1]}) == [
        "metrics: order fid, kid -> kid, fid"
    ]


def test_entries_of_one_name_are_compared_as_a_whole():
    """Where a name does not tell entries apart, the array is one value."""
    assert said([{"kind": "a"}, {"kind": "a"}], [{"kind": "a"}]) == [
        ': [{"kind": "a"}, {"kind": "a"}] -> [{"kind": "a"}]'
    ]
