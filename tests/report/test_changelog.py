"""How a study came to where it is."""

from pathlib import Path

import pytest
from attrs import evolve

from repro.errors import IntegrityError, LedgerError
from repro.ledger.segment import begin
from repro.report import difference
from repro.report.changelog import changelog, lines
from repro.report.diff import diff
from tests.ledger import example, ledgers
from tests.report import fake
from tests.report.conftest import noise_spec, trained_spec
from tests.report.fake import Attempt


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """Two runs with another learning rate, and a third that failed."""
    root: Path = tmp_path_factory.mktemp("ledger")
    example.write(root)
    return root


def test_each_run_says_what_it_changed_oldest_first(digits):
    """Param: old -> new, as the log of the STL-10 study was written by hand."""
    entries = changelog(digits, "digits")

    assert [[str(each) for each in entry.spec] for entry in entries] == [
        [],
        ["train.lr: 0.002 -> 0.001"],
        ["train.lr: 0.001 -> 0.5"],
    ]
    assert [entry.since for entry in entries] == [None, *(each.run_id for each in entries[:2])]


def test_each_run_says_what_code_it_changed(digits):
    """Another commit is a change, another interpreter is none of the study."""
    _, second, _ = changelog(digits, "digits")

    assert [each.path for each in second.code] == ["git.commit"]


def test_the_result_stands_beside_each_run(digits):
    """The first has its values, the second their differences, the failed one its error."""
    first, second, third = changelog(digits, "digits")

    assert {each.evaluation: each.finding for each in first.results} == dict.fromkeys(
        example.FIRST, "missing"
    )
    assert {each.finding for each in second.results} == {"greater"}
    assert (third.results, third.error) == ((), "RunError: the loss is not finite")


def test_a_result_stands_out_only_among_all_runs(tmp_path):
    """What would do between two runs is not enough among three."""
    example.write(tmp_path, apart=1.5)

    _, second, _ = changelog(tmp_path, "digits")

    result = second.results[0]
    assert result.difference is not None
    assert difference.critical_z(2) < result.difference.z < difference.critical_z(3)
    assert result.finding == "indistinguishable"


def test_a_result_needs_no_less_than_in_a_diff(digits):
    """Five differences of two runs are as many occasions for luck as the pairs of four runs."""
    _, second, _ = changelog(digits, "digits")

    found = diff(digits, str(second.since), second.run_id)

    needed = [each.difference.needed for each in second.results if each.difference]
    assert len(needed) == 5
    assert needed == [each.difference.needed for each in found.measurements if each.difference]


def test_a_run_is_held_against_the_one_before_of_its_file(project):
    """A file of another kind in between changes nothing of that."""
    project.run(trained_spec(("last", 2, 0)))
    other = project.spec.with_name("b.toml")
    other.write_text(noise_spec("a"), encoding="utf-8")
    fake.run(project.root, other, {})
    project.run(trained_spec(("last", 2, 0), train_seed="2"))

    first, _, last = changelog(project.root, "toy")

    assert last.since == first.run_id
    assert [str(each) for each in last.spec] == ["train.seed: 1 -> 2"]


def test_the_first_run_of_a_file_is_held_against_the_most_similar(project):
    """Of the earlier runs, the one with the fewest changed fields."""
    project.run(trained_spec(("last", 2, 0)))
    project.run(noise_spec("a"))
    other = project.spec.with_name("b.toml")
    other.write_text(trained_spec(("last", 2, 0), train_seed="3"), encoding="utf-8")
    fake.run(project.root, other, {})

    first, _, last = changelog(project.root, "toy")

    assert last.since == first.run_id


def test_repeats_of_a_run_are_one_entry(project):
    """An interrupted execution and its repeat are one run; a rehearsal is none."""
    project.run(noise_spec("a"), attempt=Attempt(until="a"))
    project.run()
    project.run(attempt=Attempt(purpose="rehearsal"))

    (entry,) = changelog(project.root, "toy")

    assert (entry.num_executions, entry.execution.outcome) == (2, "done")


def test_the_log_is_markdown(digits):
    """A point a run, with its date, what changed, and what came of it."""
    text = list(lines(changelog(digits, "digits")))

    runs = [line for line in text if line.startswith("- ")]
    assert [line.partition(": ")[2] for line in runs] == [
        "lr 2e-3 (done)",
        "lr 1e-3 (done)",
        "lr 5e-1 (failed)",
    ]
    assert runs[0].startswith("- 2026-11-20, run ")
    assert "  - first run of the study" in text
    assert "  - result: last@300 fid: 30.5 ± 0.5" in text
    assert "    - train.lr: 0.002 -> 0.001" in text
    assert "  - ended by: RunError: the loss is not finite" in text


def test_an_unknown_study_is_told_the_others(digits):
    """The nearest name is in the message."""
    with pytest.raises(LedgerError, match="did you mean 'digits'"):
        changelog(digits, "digit")


def test_a_spec_that_is_not_what_its_id_names_is_refused(tmp_path):
    """A changelog of an altered spec would be a false one."""
    with begin(tmp_path, evolve(ledgers.start(), canonical_spec="{}")):
        pass

    with pytest.raises(IntegrityError, match="run verify"):
        changelog(tmp_path, "toy")
