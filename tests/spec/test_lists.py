"""Entries whose sampling parameters are arrays stand for several."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from repro.spec.lists import expanded
from repro.spec.problems import Problem


def entry(name: str, **sampler: Any) -> dict[str, Any]:
    return {"name": name, "sample": {"kind": "checkpoint", "sampler": sampler}}


def test_one_entry_a_value():
    """Each has its value in its name, and all else in common."""
    found = expanded({"evaluate": [entry("a", kind="one-step", alpha=[1.0, 1.5])]})

    assert found.data["evaluate"] == [
        entry("a-1.0", kind="one-step", alpha=1.0),
        entry("a-1.5", kind="one-step", alpha=1.5),
    ]


def test_several_arrays_are_combined():
    """The last varies fastest, as in a sweep."""
    found = expanded({"probe": [entry("a", steps=[10, 20], eta=[0.0, 1.0])]})

    assert [each["name"] for each in found.data["probe"]] == [
        "a-0.0-10",
        "a-0.0-20",
        "a-1.0-10",
        "a-1.0-20",
    ]


def test_a_selection_among_them_all():
    """The name that was written stands for every entry that it became."""
    data = {
        "evaluate": [entry("a", alpha=[1, 2]), entry("b", alpha=3)],
        "select": {"among": ["b", "a"]},
    }

    assert expanded(data).data["select"]["among"] == ["b", "a-1", "a-2"]


def test_a_problem_is_told_where_it_was_written():
    """The second of three entries that one became is that one, to whoever wrote it."""
    data = {"evaluate": [entry("a", alpha=[1, 2, 3]), entry("b", alpha=3)]}
    found = expanded(data)

    written = [found.as_written(Problem(("evaluate", index, "sample"), "")) for index in range(4)]

    assert [each.path[1] for each in written] == [0, 0, 0, 1]
    assert found.as_written(Problem(("train", "lr"), "")).path == ("train", "lr")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["evaluate", "select", "among", "name", "sample", "sampler", "alpha"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["evaluate", "probe", "select", "train"]), JSON))
def test_nonsense_is_left_to_the_checks(data: dict[str, Any]):
    """Whatever stands there, nothing is raised here; and twice is once."""
    once = expanded(data).data

    assert once.keys() == data.keys()
    for table in ("evaluate", "probe"):
        if isinstance(data.get(table), list):
            assert len(once[table]) >= len(data[table])
