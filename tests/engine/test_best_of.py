"""Evaluations and probes of the checkpoint that others were best at."""

from pathlib import Path
from typing import Any

import pytest

from repro.engine.run import run
from repro.ledger import history
from repro.report.archive import Archive
from repro.report.gate import Terms, refusals
from repro.report.rows import Row
from repro.spec import load as load_specs
from repro.spec import rehearsal, stages
from tests.engine import tiny

SPEC = (
    tiny.DRIFT.replace('features = ["pixels", "encoder"]', 'features = ["pixels"]').replace(
        '[encoder]\nkind = "conv-encoder"\nchannels = [8, 8]\nsteps = 4\nbatch_size = 8\n', ""
    )
    + """
[protocol]
extractor = { kind = "pixels" }
reference = { kind = "dataset", data = { kind = "digits" }, num_features = 50 }
metrics = [{ kind = "fid" }, { kind = "kid" }]

[[evaluate]]
name = "each"
checkpoints = { every = 4 }
sample = { kind = "checkpoint", num_samples = 30, sampler = { kind = "one-step" } }

[[evaluate]]
name = "alpha"
checkpoints = { best_of = "each", by = "kid:min" }
sample.kind = "checkpoint"
sample.num_samples = 30
sample.sampler = { kind = "one-step", alpha = [1.0, 2.0] }

[[probe]]
name = "grid"
kind = "fixed-seed-grid"
checkpoints = { best_of = "alpha-2.0", by = "fid:max" }
sample = { kind = "checkpoint", num_samples = 10, sampler = { kind = "one-step" } }
"""
)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("best"), SPEC)


@pytest.fixture(scope="module")
def root(path: Path) -> Path:
    ledger = path.parent / "ledger"
    (outcome,) = run([path], root=ledger, cache=path.parent / "cache")
    assert outcome.status == "done", outcome.problems
    return ledger


@pytest.fixture(scope="module")
def done(path: Path, root: Path) -> dict[str, history.DoneStage]:
    """What evaluations and probes left, by name."""
    found = [each for each in stages(load_specs(path)[0]) if each.kind in ("evaluate", "probe")]
    left = history.done_stages(root, [each.stage_id for each in found], rehearsal=False)
    return {each.name: left[each.stage_id] for each in found}


def value(stage: history.DoneStage, metric: str) -> Any:
    (found,) = [each for each in stage.measurements if each.metric == metric]
    return found.value


def step(stage: history.DoneStage) -> Any:
    (found,) = {each.checkpoint_step for each in stage.measurements}
    return found


def test_the_best_checkpoint_is_read(done: dict[str, history.DoneStage]):
    """Of four, that with the least kernel distance, for every guidance scale."""
    candidates = [stage for name, stage in done.items() if name.startswith("each@")]
    best = min(candidates, key=lambda stage: value(stage, "kid"))

    assert len(candidates) == 4
    assert step(done["alpha-1.0"]) == step(done["alpha-2.0"]) == step(best)


def test_a_choice_may_follow_a_choice(done: dict[str, history.DoneStage]):
    """The best of one evaluation is the checkpoint that this had chosen."""
    assert step(done["grid"]) == step(done["alpha-2.0"])


def rows(root: Path, done: history.DoneStage) -> tuple[Archive, Row]:
    archive = Archive(root)
    return archive, archive.rows[done.stage_id][0]


def test_the_gate_knows_what_was_chosen(root: Path, done: dict[str, history.DoneStage]):
    """The step that was measured is the one that the values choose, and its weights are known."""
    archive, row = rows(root, done["alpha-2.0"])

    assert archive.step_read(row) == row.checkpoint_step == step(done["alpha-2.0"])
    assert archive.checkpoint(row) is not None
    said = [each.reason for each in refusals(row, archive, Terms())]
    assert not [each for each in said if "in the plan" in each or "were not left by" in each]


def test_what_was_chosen_by_is_evidence_for_nothing(root: Path, done: dict[str, history.DoneStage]):
    """The same images, chosen because they scored well, do not prove that they score well."""
    archive, row = rows(root, done["alpha-1.0"])

    assert any("were chosen by kid:min" in each.reason for each in refusals(row, archive, Terms()))


def test_a_rehearsal_chooses_too(path: Path):
    """Few checkpoints, the same choice among them."""
    (spec,) = load_specs(path)

    names = [each.name for each in stages(rehearsal(spec)) if each.kind == "select"]

    assert names == ["kid:min", "fid:max"]
