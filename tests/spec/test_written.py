"""A spec written as TOML is read as the same spec."""

from pathlib import Path

import pytest
from attrs import evolve

from repro.spec import load
from repro.spec.written import as_toml
from tests.spec.test_golden import SHIPPED


def read_again(spec, folder):
    path = folder / "again.toml"
    path.write_text(as_toml(spec), encoding="utf-8")
    (again,) = load(path)
    return again


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_written_is_read_as_the_same_spec(path, tmp_path):
    """Every spec of a file comes back equal, with its notes and paths."""
    for spec in load(path):
        assert read_again(spec, tmp_path) == spec


def test_any_title_comes_back(tmp_path):
    """Quotes, line ends, control characters and letters of other alphabets."""
    (spec,) = load(Path("tests/data/valid/toy.toml"))
    odd = evolve(spec, title='a "b" \\ \n\t\x7f ü 語')

    assert read_again(odd, tmp_path) == odd
