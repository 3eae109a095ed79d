"""Kinds that an installed package brings."""

import sys
from pathlib import Path

import pytest

from repro.errors import SpecError
from repro.spec import dump, run_id, structure
from repro.spec.kinds import SLOTS, built_in, find, names
from repro.spec.problems import Mistake
from repro.spec.sample import Ddim

ENTRY_POINTS = """\
[repro.spec.sampler]
dpm = fakepackage.spec:Dpm
ddim = fakepackage.spec:Dpm
misnamed = fakepackage.spec:Dpm
bare = fakepackage.spec:Bare
broken = nowhere.spec:Dpm
absent = fakepackage.spec:Absent
"""

MODULE = '''\
from typing import ClassVar
from attrs import frozen
from repro.spec.fields import count

@frozen(kw_only=True)
class Dpm:
    """A sampler of somebody else."""
    kind: ClassVar = "dpm"
    steps: int = count(default=20)

class Bare:
    kind = "bare"
'''


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    metadata = tmp_path / "fakepackage-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: fakepackage\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    package = tmp_path / "fakepackage"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "spec.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("fakepackage", "fakepackage.spec"):
        sys.modules.pop(name, None)


def data(sampler: dict[str, object]) -> dict[str, object]:
    """A small denoising spec that samples with *sampler*."""
    digest = f"sha256:{'0' * 64}"
    sample = {"kind": "checkpoint", "sampler": sampler, "num_samples": 8}
    return {
        "schema": 1,
        "data": {"kind": "digits"},
        "network": {"kind": "unet2d", "channels": [32], "attention": [False]},
        "objective": {"kind": "denoise"},
        "train": {"steps": 1, "seed": 0, "lr": 1},
        "protocol": {"reference": {"kind": "file", "path": "a", "digest": digest}},
        "evaluate": [{"name": "a", "sample": sample}],
    }


@pytest.mark.usefixtures("_installed")
def test_an_installed_kind_is_structured_named_and_dumped():
    """A kind of somebody else works as ours do."""
    spec = structure(data({"kind": "dpm", "steps": 7}))
    other = structure(data({"kind": "dpm", "steps": 8}))

    assert spec == structure(dump(spec))
    assert dump(spec)["evaluate"][0]["sample"]["sampler"] == {"kind": "dpm", "steps": 7}
    assert run_id(spec) != run_id(other)


@pytest.mark.usefixtures("_installed")
def test_the_fields_of_an_installed_kind_are_checked():
    """Its bounds and its keys hold as ours do."""
    with pytest.raises(SpecError) as caught:
        structure(data({"kind": "dpm", "steps": 0, "stepz": 1}))

    assert list(caught.value.problems) == [
        "evaluate.0.sample.sampler.steps: expected at least 1, got 0",
        "evaluate.0.sample.sampler.stepz: unknown key, did you mean 'steps'? "
        "expected one of: steps",
    ]


@pytest.mark.usefixtures("_installed")
def test_an_installed_kind_is_offered():
    """A mistyped kind is answered with theirs among ours."""
    with pytest.raises(SpecError, match=r"unknown kind 'dpn', did you mean 'dpm'\? .* ddim, .*dpm"):
        structure(data({"kind": "dpn"}))


@pytest.mark.usefixtures("_installed")
def test_ours_cannot_be_replaced():
    """A package that claims a kind of ours is not asked."""
    assert find("sampler", "ddim") is Ddim


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("broken", "comes from 'nowhere.spec:Dpm', which cannot be imported: No module"),
        ("absent", "which cannot be imported: module 'fakepackage.spec' has no attribute"),
        ("misnamed", "is not an attrs class with kind = 'misnamed'"),
        ("bare", "is not an attrs class with kind = 'bare'"),
    ],
)
def test_a_broken_package_breaks_only_specs_that_name_it(kind: str, message: str):
    """Its kind is refused in words; the others go on."""
    with pytest.raises(Mistake, match=message):
        find("sampler", kind)
    assert find("sampler", "dpm").__name__ == "Dpm"


def test_kinds_are_unique_within_a_slot():
    """Every class of a slot can be named."""
    for slot, members in SLOTS.items():
        classes = getattr(members, "__args__", (members,))

        assert len(built_in(slot)) == len(classes)
        assert set(names(slot)) >= set(built_in(slot))
