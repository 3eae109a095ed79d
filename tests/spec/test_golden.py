"""Ids are given out for ever: each shipped spec has its own in a file beside it."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "pin_ids.py"))
SHIPPED = sorted(
    path
    for folder in (ROOT / "specs", ROOT / "tests" / "data" / "valid")
    for path in folder.rglob("*.toml")
    if not path.name.startswith("base")
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_spec_keeps_its_ids(path: Path):
    """The ids of a spec are those in the file beside it; `tools/pin_ids.py` writes a new one."""
    expected = path.with_suffix(".id").read_text(encoding="utf-8")

    assert expected == TOOL["pinned"](path)


def test_a_pinned_id_is_not_moved_silently(tmp_path: Path):
    """The tool leaves another id alone, and says so, until it is told to move it."""
    spec = tmp_path / "a.toml"
    spec.write_text((ROOT / "tests/data/valid/toy.toml").read_text("utf-8"), encoding="utf-8")
    spec.with_suffix(".id").write_text("run 0\n", encoding="utf-8")

    refused = TOOL["main"]([str(spec)])
    kept = spec.with_suffix(".id").read_text(encoding="utf-8")
    moved = TOOL["main"](["--move", str(spec)])

    assert (refused, kept, moved) == (1, "run 0\n", 0)
    assert spec.with_suffix(".id").read_text(encoding="utf-8") == TOOL["pinned"](spec)
