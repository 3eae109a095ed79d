"""What differs between two executions."""

import pytest
from attrs import evolve

from repro.errors import LedgerError
from repro.ledger import store
from repro.ledger.records import Provenance
from repro.report.diff import diff, lines
from repro.spec import load, run_id
from tests.report import fake
from tests.report.conftest import noise_spec, trained_spec
from tests.report.fake import Attempt, Made

PYTHON = Provenance(provider="python", status="ok", value={"version": "3.11.7", "optimize": 0})
NO_GPU = Provenance(provider="gpu", status="unavailable", reason="there is no nvidia-smi")


def known(*provenance):
    """An attempt that knows this of its code and environment."""
    return Attempt(provenance=(fake.COMMITTED, *provenance))


def findings(found):
    """What became of each measurement."""
    return {each.evaluation: each.finding for each in found.measurements}


@pytest.fixture(scope="module")
def two(shared):
    """Two runs of one study: another training seed, another interpreter, one worse evaluation."""
    old = shared.run(
        trained_spec(("last", 2, 0), ("first", 0, 5000)),
        attempt=known(PYTHON, NO_GPU),
        last=Made(shift=0.5),
    )
    newer = evolve(PYTHON, value={"version": "3.12.1", "optimize": 0})
    new = shared.run(
        trained_spec(("last", 2, 0), ("first", 0, 5000), train_seed="2"),
        attempt=known(newer),
        last=Made(shift=0.6),
        first=Made(shift=0.001),
    )
    return shared.root, old, new


def test_each_part_names_what_changed_with_both_values(two):
    """One field of the spec, one of the environment, nothing of the code."""
    found = diff(*two)

    assert [str(each) for each in found.spec] == ["train.seed: 1 -> 2"]
    assert [str(each) for each in found.environment] == ['python.version: "3.11.7" -> "3.12.1"']
    assert found.code == ()


def test_what_is_not_known_is_no_equality(two):
    """A provider that knew nothing, or was not asked, is listed with the reason."""
    found = diff(*two)

    assert found.unknown == (
        "gpu of the old side: there is no nvidia-smi",
        "gpu of the new side: not recorded",
    )


def test_a_difference_is_judged_by_its_noise(two):
    """FID 1.44 is above 1.00; two sets of equal quality are indistinguishable."""
    found = diff(*two)

    assert findings(found) == {"last": "greater", "first": "indistinguishable"}


def test_measurements_of_equal_seeds_are_compared_in_pairs(two):
    """Image i of both sets was made from the same noise."""
    (last, _) = diff(*two).measurements

    assert last.difference is not None
    assert last.difference.se_kind == "paired"


def test_more_comparisons_need_a_larger_difference(two):
    """Two differences are judged as the three pairs of three candidates: 2.39 standard errors."""
    (last, _) = diff(*two).measurements

    assert last.difference is not None
    assert last.difference.critical == pytest.approx(2.394, abs=1e-3)


def test_without_influence_values_the_comparison_is_unpaired_and_says_so(two):
    """A file that is gone costs precision, not the answer."""
    root, old, new = two
    row = diff(root, old, new).measurements[0].new
    assert row is not None
    path = store.path_of(root, row.influence or "")
    aside = path.with_suffix(".aside")
    path.rename(aside)

    try:
        found = diff(root, old, new)
    finally:
        aside.rename(path)

    last = found.measurements[0]
    assert last.difference is not None
    assert (last.difference.se_kind, last.why[:12]) == ("unpaired", "not paired: ")


def test_other_protocols_are_not_compared(project):
    """The number of images is part of what makes two numbers comparable."""
    old = project.run(noise_spec("a", num_samples={"a": 2049}))
    new = project.run(noise_spec("a", num_samples={"a": 2050}))

    found = diff(project.root, old, new)

    assert findings(found) == {"a": "incomparable"}
    assert found.measurements[0].why.startswith("B1: not comparable")


def test_an_evaluation_of_one_side_is_missing_on_the_other(project):
    """What only one side measured is not left out."""
    old = project.run(noise_spec("a"))
    new = project.run(noise_spec("a", "b"))

    found = diff(project.root, old, new)

    assert findings(found)["b"] == "missing"


def test_a_reused_measurement_is_shared(project):
    """A run that reused the stage has the number of the one that measured."""
    old = project.run(noise_spec("a"))
    new = project.run(attempt=Attempt(reused={"a": old}))

    assert findings(diff(project.root, old, new)) == {"a": "shared"}


def test_a_repeat_that_came_out_equal_is_equal(project):
    """The same work twice, with the same value."""
    old, new = project.run(noise_spec("a")), project.run()

    assert findings(diff(project.root, old, new)) == {"a": "equal"}


def test_a_value_that_is_not_finite_is_not_judged(project):
    """NaN is neither less nor greater."""
    old = project.run(noise_spec("a"))
    new = project.run(a=Made(fields={"value": float("nan")}))

    assert findings(diff(project.root, old, new)) == {"a": "unknown"}


def test_another_commit_is_a_change_of_code(project):
    """The commits of both sides are shown."""
    old = project.run(noise_spec("a"))
    git = evolve(fake.COMMITTED, value={**fake.COMMITTED.value, "commit": "d" * 40})
    new = project.run(attempt=Attempt(provenance=(git, fake.SYSTEM)))

    found = diff(project.root, old, new)

    assert [each.path for each in found.code] == ["git.commit"]


def test_a_run_stands_for_its_newest_execution_that_computed(project):
    """Not for a later one that found everything done, nor for one that was killed."""
    computed = project.run(noise_spec("a"))
    project.run(attempt=Attempt(reused={"a": computed}))
    project.run(attempt=Attempt(until="a"))
    named = run_id(load(project.spec)[0])

    assert diff(project.root, named, str(project.spec)).old.execution_id == computed


def test_a_spec_that_never_ran_has_nothing_to_compare(project):
    """The message names the run."""
    done = project.run(noise_spec("a"))
    project.write(noise_spec("a", "b"))

    with pytest.raises(LedgerError, match="never executed here"):
        diff(project.root, done, str(project.spec))


def test_a_person_reads_every_part(two):
    """Each change and each measurement is a line under its part."""
    text = "\n".join(lines(diff(*two)))

    assert "spec\n  train.seed: 1 -> 2\n" in text
    assert "code: no difference is known\n" in text
    assert 'environment\n  python.version: "3.11.7" -> "3.12.1"\n' in text
    assert "not compared\n  gpu of the old side" in text
    assert "  last fid: " in text
