"""No coercion: the file says what the spec is."""

from typing import Any

import pytest

from repro.errors import SpecError
from repro.spec import structure
from repro.spec.kinds import SLOTS
from repro.spec.problems import choice, dotted, shown

TRAINING: dict[str, Any] = {
    "schema": 1,
    "data": {"kind": "digits"},
    "network": {"kind": "conv-generator", "channels": [8, 4]},
    "objective": {"kind": "drifting"},
    "train": {"steps": 10, "seed": 0, "lr": 1},
}


@pytest.mark.parametrize(
    ("table", "field", "value", "message"),
    [
        ("train", "steps", 18.0, "expected a whole number, got 18.0"),
        ("train", "steps", True, "expected a whole number, got true"),
        ("train", "steps", "1", "expected a whole number, got '1'"),
        ("train", "steps", 2**63, "expected a whole number of at most 64 bits, got a longer one"),
        ("train", "lr", True, "expected a number, got true"),
        ("train", "lr", "1", "expected a number, got '1'"),
        ("train", "lr", "inf", "expected a number, got 'inf'"),
        ("train", "lr", float("nan"), "expected a number, got nan"),
        ("train", "lr", float("inf"), "expected a finite number, got inf"),
        ("train", "lr", 2**64, f"expected a number, got {2**64}"),
        ("train", "initial_checkpoint", 1, "expected true or false, got 1"),
        ("train", "initial_checkpoint", "no", "expected true or false, got 'no'"),
        ("train", "betas", [0.9], "expected 2 entries, got 1"),
        ("train", "betas", "ab", "expected an array, got 'ab'"),
        ("train", "ema", "warmup", "expected a table with a kind, one of: constant, half-life, "),
        ("train", "ema", {"kind": 7}, "expected a string, got 7"),
        ("train", "ema", {"decay": 0.9}, "needs a kind, one of: constant, half-life, warmup"),
        ("train", "kind", "adamw", "unknown key"),
        ("objective", "features", "pixels", "expected an array, got 'pixels'"),
        ("objective", "features", [], "expected at least one entry, got none"),
        ("objective", "features", [["pixels"]], "got ['pixels'], did you mean 'pixels'?"),
        ("objective", "temperatures", {"a": 1}, "expected an array, got {'a': 1}"),
        ("objective", "rule", "oficial", "got 'oficial', did you mean 'official'?"),
        ("objective", "rule", None, "got None, expected one of: algorithm-2, official"),
    ],
)
def test_a_value_of_another_type_is_refused(table: str, field: str, value: Any, message: str):
    """Nothing is rounded, parsed or cut to fit."""
    data = {**TRAINING, table: {**TRAINING[table], field: value}}

    with pytest.raises(SpecError) as caught:
        structure(data)

    [problem] = caught.value.problems
    assert problem.startswith(f"{table}.{field}")
    assert message in problem


@pytest.mark.parametrize("value", [7, [], "a"])
def test_a_table_is_a_table(value: Any):
    """A value in the place of a table is named, whether the table has kinds or not."""
    with pytest.raises(SpecError, match=r"train: expected a table, got "):
        structure({**TRAINING, "train": value})
    with pytest.raises(SpecError, match=r"data: expected a table with a kind"):
        structure({**TRAINING, "data": value})


def test_what_is_no_table_at_all_is_refused():
    """Data that are no table describe no spec."""
    with pytest.raises(SpecError, match="expected a table"):
        structure([])  # type: ignore[arg-type]


def test_problems_are_counted_out():
    """After fifty mistakes the list ends and says so."""
    with pytest.raises(SpecError) as caught:
        structure({f"key{n}": 1 for n in range(200)})

    assert len(caught.value.problems) == 51


def test_every_slot_holds_attrs_classes_with_a_written_kind():
    """A kind is written in the class, so that renaming a class moves no id."""
    for members in SLOTS.values():
        for member in getattr(members, "__args__", (members,)):
            assert isinstance(vars(member)["kind"], str)


def test_a_long_or_deep_value_is_cut():
    """A message stays short whatever it quotes."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]

    assert len(shown("x" * 10_000)) < 100
    assert shown(deep) == "[[[[...]]]]"


def test_a_path_is_as_set_takes_it():
    """Indices are plain; a key that is not plain is quoted."""
    assert dotted(("evaluate", 0, "a b")) == "evaluate.0.'a b'"


def test_the_nearest_name_is_offered():
    """A near name first, then every name; every name where none is near."""
    assert choice("dimm", ["ddim", "ddpm"]) == "did you mean 'ddim'? expected one of: ddim, ddpm"
    assert choice("heun", ["ddim", "ddpm"]) == "expected one of: ddim, ddpm"
    assert choice("heun", []) == "there is none"
