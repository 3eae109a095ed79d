"""Every spec that comes with the package, whole and small: all of its stages, on any machine."""

from pathlib import Path

import pytest

from repro.engine.run import run
from repro.ledger import query, verify
from repro.spec import load, rehearsal, stages
from tests.spec.test_golden import ROOT

SPECS = ROOT / "specs"
QUICK = ("e7/small.toml", "imagenet/overfit.toml", "toy/bimodal.toml", "toy/swiss-roll.toml")
"""Three of drifting models and one of a diffusion, each within seconds."""


def shipped() -> list[object]:
    """Every spec by its name; all but the quick ones take too long for every day."""
    names = sorted(
        path.relative_to(SPECS).as_posix()
        for path in SPECS.rglob("*.toml")
        if not path.name.startswith("base")
    )
    return [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow, id=name)
        for name in names
    ]


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_spec_is_rehearsed_whole(name: str, tmp_path: Path):
    """Every stage of every run ends well without data, weights or a network, and verifies."""
    outcomes = run(
        [SPECS / name],
        rehearse=True,
        offline=True,
        root=tmp_path / "ledger",
        cache=tmp_path / "cache",
    )

    assert [each.problems for each in outcomes] == [()] * len(outcomes)
    wanted = {stage.stage_id for spec in load(SPECS / name) for stage in stages(rehearsal(spec))}
    ended = query(
        tmp_path / "ledger", "select distinct stage_id from stage_events where event = 'done'"
    ).rows
    assert {stage_id for (stage_id,) in ended} == wanted
    assert verify(tmp_path / "ledger") == []


def test_the_quick_ones_are_there():
    """A spec that is renamed must not fall out of every day's tests."""
    assert [name for name in QUICK if not (SPECS / name).is_file()] == []
