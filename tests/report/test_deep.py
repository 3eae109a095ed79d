"""Computing ids and values again from what is stored."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from repro.ledger import examine, history, store
from repro.ledger.records import Artifact, Start
from repro.ledger.segment import begin
from repro.report.deep import Recomputed, recompute
from tests.ledger import ledgers
from tests.report.conftest import Project, noise_spec, trained_spec
from tests.report.fake import Made

WRONG = {
    "value": Made(shift=1.0, fields={"value": 3.0}),
    "error": Made(shift=1.0, fields={"se": 1e-6}),
    "protocol": Made(fields={"protocol_id": "0" * 32}),
    "formula": Made(facts={"formula.ddof": 0}),
}


def recomputed(root: Path, execution_id: str | None = None) -> Recomputed:
    """Everything, or what one execution rests on, computed again."""
    return recompute(root, examine(root, execution_id).executions)


def test_what_was_rightly_recorded_comes_out_again(project):
    """Every plan and every value is the same."""
    project.run(trained_spec(("first", 2, 0), ("second", 2, 10_000)))

    again = recomputed(project.root)

    assert again == Recomputed(findings=(), unchecked=(), num_plans=1, num_values=2)


@pytest.fixture(scope="module")
def wrong(shared: Project) -> tuple[Path, str]:
    """A ledger whose every record is as it was written, and most were written wrong."""
    made: dict[str, Any] = dict(WRONG)
    execution_id = shared.run(noise_spec("right", *WRONG), **made)
    return shared.root, execution_id


@pytest.mark.parametrize("name", WRONG)
def test_a_number_that_was_recorded_wrong_is_named(wrong, name):
    """Reading again finds nothing; computing again names the record, and says what comes out."""
    root, execution_id = wrong
    verified = examine(root)
    again = recompute(root, verified.executions)

    (finding,) = (each for each in again.findings if repr(name) in each.problem)

    assert verified.findings == ()
    assert (finding.file, type(finding.record)) == (f"segments/{execution_id}.jsonl", int)
    assert (len(again.findings), again.num_values) == (len(WRONG), len(WRONG) + 1)


@pytest.mark.parametrize(
    "change",
    [
        {"stage_id": "0" * 32},
        {"kind": "train"},
        {"inputs": []},
        None,
    ],
    ids=["id", "kind", "inputs", "left out"],
)
def test_a_plan_that_its_spec_does_not_give_is_named(project, change):
    """Every recorded stage id, kind and input is held to the recorded spec."""
    execution_id = project.run(noise_spec("a"))
    (start,) = (each.start for each in history.executions(project.root))
    *others, last = start.stages
    stages = (*others, {**last, **change}) if change else others
    with begin(project.root, evolve(start, stages=stages)) as forged:
        pass

    again = recompute(project.root, [execution_id, forged.execution_id])

    assert [(each.file, each.record) for each in again.findings] == [
        (f"segments/{forged.execution_id}.jsonl", 0)
    ]


def test_only_what_was_asked_for_is_computed_again(project):
    """One execution, without the others."""
    first = project.run(noise_spec("a"))
    project.run(noise_spec("a", "b"))

    assert recompute(project.root, [first]).num_values == 1


def test_what_cannot_be_computed_is_no_finding_and_no_silence(project):
    """A value whose features are gone is told apart, with the reason; reading again names them."""
    project.run(noise_spec("a"))
    verified = examine(project.root)
    artifacts = {
        each.role: each
        for path in history.segment_paths(project.root)
        for each in map(history.decoded, history.read_lines(path))
        if isinstance(each, Artifact)
    }
    store.locate(project.root, artifacts["features"].sha256).unlink()

    again = recompute(project.root, verified.executions)

    assert (again.findings, again.num_values) == ((), 0)
    assert len(again.unchecked) == 1
    assert "artifact is missing" in again.unchecked[0]


def test_a_measurement_without_features_is_not_computed(tmp_path):
    """It is told that it cannot be, and so is a spec that this version cannot read."""
    execution_id = ledgers.execute(tmp_path)

    again = recompute(tmp_path, [execution_id])

    assert again.findings == ()
    assert (again.num_plans, again.num_values) == (0, 0)
    plan, value = again.unchecked
    assert "record 0: the plan is not checked" in plan
    assert "record 9: fid of 'last' is not checked" in value


def test_an_execution_without_a_run_has_no_plan(tmp_path):
    """A report or a collection attempts no run."""
    with begin(tmp_path, Start(purpose="report")) as execution:
        pass

    again = recompute(tmp_path, [execution.execution_id])

    assert again == Recomputed(findings=(), unchecked=(), num_plans=0, num_values=0)
