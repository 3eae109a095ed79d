"""Why two runs have different ids."""

import pytest
from attrs import evolve

from repro.errors import LedgerError, SpecError
from repro.ledger import history
from repro.ledger.records import Start
from repro.ledger.segment import begin
from repro.report.explain import between, explain, lines
from repro.report.named_run import named_run
from repro.spec import load, run_id
from tests.ledger import ledgers
from tests.report.conftest import trained_spec

ONE = trained_spec(("last", 2, 0), ("first", 0, 5000))


@pytest.fixture
def recorded(project):
    """A project with one run on record; the spec's file can be changed."""
    project.run(ONE)
    return project


def explained(project, text, *overrides):
    """The recorded run against the file with another text."""
    project.write(text)
    return explain(project.root, recorded_id_of(project), str(project.spec), overrides=overrides)


def recorded_id_of(project):
    """The id of the only recorded run."""
    (only,) = history.executions(project.root)
    return only.start.run_id or ""


def what(explanation):
    """Each stage, and what became of it."""
    return {f"{each.kind} {each.name}": each.what for each in explanation.stages}


def test_the_fields_that_moved_an_id_are_named_with_both_values(recorded):
    """A changed seed is the one field that differs."""
    explanation = explained(recorded, ONE.replace("seed = 1\n", "seed = 2\n"))

    assert [str(each) for each in explanation.fields] == ["train.seed: 1 -> 2"]
    assert explanation.old.run_id != explanation.new.run_id


def test_an_override_is_part_of_the_spec_that_is_explained(recorded):
    """What `--set` replaces moves the id as the file would."""
    explanation = explained(recorded, ONE, "train.lr=0.5")

    assert [str(each) for each in explanation.fields] == ["train.lr: 0.001 -> 0.5"]


def test_what_is_for_people_moves_no_id(recorded):
    """Another title, a comment and another order of keys explain nothing: it is one run."""
    text = "# a comment\n" + ONE.replace("A network in two updates", "Another title")

    explanation = explained(recorded, text)

    assert explanation.fields == ()
    assert set(what(explanation).values()) == {"kept"}
    assert any(line.startswith("one run") for line in lines(explanation))


def test_stages_that_kept_their_ids_are_work_that_is_shared(recorded):
    """A training seed moves the training and all that builds on it, not data and reference."""
    explanation = explained(recorded, ONE.replace("seed = 1\n", "seed = 2\n"))

    assert what(explanation) == {
        "prepare cifar10-train": "kept",
        "train drifting": "moved",
        "reference shipped": "kept",
        "sample last": "moved",
        "evaluate last": "moved",
        "sample first": "moved",
        "evaluate first": "moved",
    }


def test_a_moved_stage_says_whether_it_moved_itself_or_with_its_inputs(recorded):
    """The training has a field of its own that changed; the samples follow it."""
    explanation = explained(recorded, ONE.replace("seed = 1\n", "seed = 2\n"))

    stages = {f"{each.kind} {each.name}": each for each in explanation.stages}
    assert [str(each) for each in stages["train drifting"].fields] == ["train.seed: 1 -> 2"]
    assert stages["sample last"].fields == ()
    assert stages["sample last"].inputs == ("train drifting",)


def test_a_stage_of_only_one_run_is_added_or_removed(recorded):
    """Without an evaluation, its two stages are removed; seen from the other side, added."""
    explanation = explained(recorded, trained_spec(("last", 2, 0)))

    gone = [key for key, became in what(explanation).items() if became == "removed"]
    assert gone == ["sample first", "evaluate first"]
    swapped = what(between(explanation.new, explanation.old))
    assert [key for key, became in swapped.items() if became == "added"] == gone


def test_a_renamed_evaluation_is_the_same_work(recorded):
    """A name moves the run's id, and no stage's."""
    explanation = explained(recorded, ONE.replace('name = "first"', 'name = "start"'))

    assert len(explanation.fields) == 2
    assert set(what(explanation).values()) == {"kept"}


def test_a_file_with_several_runs_is_not_one_run(project):
    """A sweep is refused, with the way to choose one; then it is explained."""
    project.write(ONE + "\n[sweep]\ntrain.seed = [1, 2]\n")

    with pytest.raises(SpecError, match="describes 2 runs, expected one; name a recorded run"):
        named_run(project.root, str(project.spec))

    chosen = named_run(project.root, str(project.spec), overrides=["train.seed=2"])
    assert chosen.run_id == run_id(load(project.spec)[1])


def test_two_files_need_no_ledger(project):
    """Specs that never ran can be explained."""
    project.write(ONE)

    explanation = explain(project.root, str(project.spec), str(project.spec))

    assert not project.root.exists()
    assert explanation.fields == ()


def test_an_execution_that_is_no_run_has_nothing_to_explain(project):
    """A report has no spec."""
    with begin(project.root, Start(purpose="report")) as segment:
        pass

    with pytest.raises(LedgerError, match="is a report, expected a run"):
        named_run(project.root, segment.execution_id)


def test_a_run_that_another_version_wrote_is_explained_by_its_recorded_plan(tmp_path):
    """Fields and ids are compared; which own fields moved a stage is not known, and said so."""
    first, second = (ledgers.execute(tmp_path, name) for name in ("one", "two"))
    old, new = (named_run(tmp_path, each) for each in (first, second))
    new = evolve(
        new, stages=tuple(evolve(each, stage_id=f"c{each.stage_id}") for each in new.stages)
    )

    explanation = between(old, new)

    assert [str(each) for each in explanation.fields] == ['title: "one" -> "two"']
    assert explanation.stages[0].fields is None
    assert any("its own part is not known" in line for line in lines(explanation))


def test_an_altered_spec_is_not_explained(recorded):
    """An id that is not the digest of the recorded spec explains nothing."""
    start = ledgers.start("one")
    with begin(recorded.root, evolve(start, canonical_spec='{"title":"two"}')) as segment:
        pass

    with pytest.raises(LedgerError, match="the run's id is not the digest of its spec"):
        named_run(recorded.root, segment.execution_id)
