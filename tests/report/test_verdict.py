"""What the evidence says about a claim."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from repro.ledger import store
from repro.report import comparison
from repro.report.archive import Archive
from repro.report.claims import Claim, Comparison, Extreme, Threshold
from repro.report.comparison import Step
from repro.report.rows import Row
from repro.report.verdict import Judgement, judge
from tests.report.conftest import Project, noise_spec, trained_spec
from tests.report.fake import RANDOM_DIGEST, Attempt, Made, replaced

NAMES = ("near", "nearly", "far", "paired", "random", "small")


def less(left: str, right: str, **more: Any) -> Comparison:
    sides: dict[str, Any] = {"left": f"a:{left}", "right": f"a:{right}"}
    return Comparison(name="c", text="c", metric="fid", relation="less", **sides, **more)


def below(side: str, value: float, **more: Any) -> Threshold:
    return Threshold(
        name="c", text="c", metric="fid", side=f"a:{side}", relation="below", value=value, **more
    )


def smallest(side: str, **more: Any) -> Extreme:
    return Extreme(name="c", text="c", metric="fid", side=f"a:{side}", relation="smallest", **more)


@pytest.fixture(scope="module")
def toys(shared: Project) -> Project:
    """Sets at distances of about 4, 4.1, 36; one refused; one too small."""
    shared.run(
        noise_spec(*NAMES, num_samples={"small": 500}),
        near=Made(shift=1.0),
        nearly=Made(shift=1.01),
        far=Made(shift=3.0),
        paired=Made(shift=1.02),
        random=Made(facts={"extractor.weights_digest": RANDOM_DIGEST}),
    )
    return shared


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three sets, all admitted."""
    project = Project(folder=tmp_path_factory.mktemp("table"))
    made = {"near": Made(shift=1.0), "nearly": Made(shift=1.01), "far": Made(shift=3.0)}
    project.write(noise_spec(*made))
    project.run(near=made["near"], nearly=made["nearly"], far=made["far"])
    return project


def judged(claim: Claim, project: Project) -> Judgement:
    return judge(claim, project.study(), Archive(project.root))


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (less("near", "far"), "supported"),
        (less("far", "near"), "refuted"),
        (less("near", "nearly"), "indistinguishable"),
        (less("near", "random"), "unproven"),
        (less("near", "small"), "unproven"),
        (less("near", "far", min_samples=10_000), "unproven"),
        (below("near", 10.0), "supported"),
        (below("near", 1.0), "refuted"),
        (below("near", 4.0), "indistinguishable"),
        (smallest("near"), "unproven"),
        (smallest("near", among=("a:near", "a:far")), "unproven"),
    ],
)
def test_evidence_decides(claim: Claim, verdict: str, toys: Project):
    """A difference that drowns decides nothing; refused evidence proves nothing."""
    assert judged(claim, toys).verdict == verdict


def test_a_verdict_lists_what_it_admitted_and_refused(toys: Project):
    """With the rule that refused, and its reason."""
    found = judged(less("near", "random"), toys)

    assert [each.side for each in found.admitted] == ["a:near"]
    assert [(each.side, [rule.rule for rule in each.refusals]) for each in found.refused] == [
        ("a:random", ["weights"])
    ]
    assert found.why == "a:random: refused by weights"


def test_a_verdict_says_how_large_the_difference_is(toys: Project):
    """In words that stand in a table."""
    assert judged(less("near", "far"), toys).why.startswith("near − far = −32.")


def test_a_refused_rival_spoils_a_table(toys: Project):
    """The smallest of a table cannot be told while one of its rows is not admitted."""
    assert judged(smallest("near"), toys).why == "a:random: refused by weights"


def test_a_table_holds_only_what_is_measured_alike(toys: Project):
    """A set of another size is in another table."""
    assert "a:small" not in {each.side for each in judged(smallest("near"), toys).admitted}


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (smallest("near"), "indistinguishable"),
        (smallest("near", among=("a:near", "a:far")), "indistinguishable"),
        (smallest("far"), "refuted"),
    ],
)
def test_the_smallest_is_smallest_of_the_whole_table(claim: Claim, verdict: str, table: Project):
    """A list of candidates cannot leave a rival out."""
    assert judged(claim, table).verdict == verdict


def test_the_smallest_of_a_table_may_be_shown(project: Project):
    """Where every rival is further than its margin."""
    project.run(noise_spec("near", "far"), near=Made(shift=1.0), far=Made(shift=3.0))

    assert judged(smallest("near"), project).verdict == "supported"


@pytest.mark.parametrize("among", [(), ("a:near", "a:far"), ("a:near", "a:far", "a:small")])
def test_every_evaluation_of_the_table_is_a_candidate(among: tuple[str, ...], toys: Project):
    """The best of five needs 2.81 standard errors, whoever is named; one more needs more."""
    (step,) = judged(less("near", "far", among=among), toys).steps

    expected = 2.94 if "a:small" in among else 2.81
    assert step.difference.critical == pytest.approx(expected, abs=5e-3)


def test_an_unknown_candidate_cannot_be_checked(toys: Project):
    """A name in `among` must be a side too."""
    found = judged(less("near", "far", among=("a:near", "a:far", "a:nearest")), toys)

    assert (found.checked, "no such evaluation" in found.why) == (False, True)


def test_shared_seeds_are_paired(project: Project):
    """Image i of both sets came from the same noise, so only the difference is noisy."""
    spec = trained_spec(("first", 0, 0), ("second", 2, 0))
    project.run(spec, first=Made(shift=1.0), second=Made(shift=1.0, scale=1.001))

    (step,) = judged(less("first", "second"), project).steps

    assert step.difference.se_kind == "paired"
    assert step.difference.se < 0.01


def test_fresh_seeds_are_not_paired(toys: Project):
    """Their errors add in squares."""
    (step,) = judged(less("near", "far"), toys).steps

    assert step.difference.se_kind == "unpaired"


def extrapolated(row: Row, value: float | None) -> Row:
    return evolve(row, facts=replaced(row.facts, {"formula.extrapolated": value}))


@pytest.mark.parametrize("limit", [100.0, None])
def test_unlike_generators_must_agree_for_infinitely_many_images(
    limit: float | None, project: Project
):
    """Bias depends on the generator, so the order must survive its removal."""
    project.run(
        trained_spec(("first", 0, 0), ("second", 2, 10_000)),
        first=Made(shift=1.0),
        second=Made(shift=2.0),
    )
    archive = Archive(project.root)
    first, second = (project.row(name, archive) for name in ("first", "second"))

    def compared(left: Row) -> Step:
        return comparison.between_rows(left, second, sign=-1, candidates=2, archive=archive)

    biased = compared(extrapolated(first, limit))
    assert compared(first).answer == "supported"
    assert (biased.answer, biased.note[:2]) == ("indistinguishable", "B4")


def test_one_checkpoint_is_its_own_like(project: Project):
    """Two alphas of one checkpoint share their bias: nothing is extrapolated."""
    project.run(
        trained_spec(("first", 2, 0), ("second", 2, 10_000)),
        first=Made(shift=1.0),
        second=Made(shift=2.0),
    )
    archive = Archive(project.root)
    first, second = (project.row(name, archive) for name in ("first", "second"))
    biased = extrapolated(first, 100.0)

    step = comparison.between_rows(biased, second, sign=-1, candidates=2, archive=archive)

    assert step.answer == "supported"


@pytest.mark.parametrize(
    ("number", "limit", "answer"),
    [
        (1.0, 3.9, "supported"),
        (1.0, 0.9, "indistinguishable"),
        (1.0, None, "indistinguishable"),
        (9.0, None, "refuted"),
    ],
)
def test_a_value_above_a_number_must_stay_above_it(
    number: float, limit: float | None, answer: str, toys: Project
):
    """The bias is upwards: it can lift a distance above a number, never push it below."""
    row = extrapolated(toys.row("near", Archive(toys.root)), limit)

    assert comparison.from_number(row, number, sign=1).answer == answer


def test_a_threshold_says_what_its_value_may_not_stand_beside(toys: Project):
    """2,049 images are not what a paper measures."""
    assert judged(below("near", 10.0), toys).why.endswith(
        "; the value is internal, small n: the number may not be one of a paper"
    )


def test_other_protocols_are_not_compared(project: Project):
    """The first differing fact is named."""
    spec = noise_spec("first", "second", num_samples={"second": 3000})
    project.run(spec, second=Made(shift=2.0))

    found = judged(less("first", "second"), project)

    assert found.verdict == "unproven"
    assert found.why == "B1: not comparable: num_samples is 2049 against 3000"


SWEEP = """
[sweep]
"train.seed" = [1, 2, 3]
"""


def methods(project: Project, *, sweep: str) -> Judgement:
    spec = trained_spec(("first", 0, 0), ("second", 2, 10_000)) + sweep
    project.write(spec)
    project.run_all(first=Made(shift=1.0), second=Made(shift=2.0))
    return judged(less("second", "first", scope="method"), project)


def test_a_method_is_judged_over_three_training_seeds(project: Project):
    """Both sides are trained three times; the error is over the trainings."""
    found = methods(project, sweep=SWEEP)

    assert (found.verdict, len(found.admitted)) == ("refuted", 6)
    assert found.steps[0].difference.se_kind == "over training seeds"


def test_a_method_needs_three_training_seeds(project: Project):
    """One lucky network is not a method."""
    found = methods(project, sweep="")

    assert (found.verdict, found.why[:2]) == ("unproven", "B5")


def test_a_method_differs_in_its_seeds_alone(project: Project):
    """Three specs with other learning rates are not one method."""
    found = methods(project, sweep='[sweep]\n"train.seed" = [1, 2, 3]\n"train.lr" = [1e-3, 2e-3]\n')

    assert "of different specs" in found.why


def test_samples_are_of_one_run(project: Project):
    """A sweep is many runs; a claim about samples must name one."""
    project.write(trained_spec(("first", 0, 0), ("second", 2, 10_000)) + SWEEP)
    project.run_all()

    found = judged(less("first", "second"), project)

    assert (found.checked, found.why) == (False, "a:first: names 3 runs; name one by `overrides`")


def test_what_was_never_run_cannot_be_checked(project: Project, toys: Project):
    """The command that would run it is named."""
    project.write(trained_spec(("first", 0, 0), ("second", 2, 10_000)))
    archive = Archive(toys.root)

    found = judge(less("first", "second"), project.study(), archive)

    assert (found.verdict, found.checked) == ("unproven", False)
    assert "never run; `python -m repro run " in found.why


def test_an_unfinished_run_proves_nothing_yet(project: Project):
    """It never came to the measurement, so even a claim that expects no proof is not checked."""
    spec = noise_spec("first", "second")
    project.run(spec, attempt=Attempt(until="second"))

    found = judged(below("second", 1.0, expect="unproven"), project)

    assert (found.verdict, found.checked, found.as_expected) == ("unproven", False, False)
    assert found.why == "a:second: never measured; run its spec to the end"


def test_a_missing_spec_cannot_be_checked(toys: Project, project: Project):
    """The claim is not false, it cannot be asked."""
    found = judge(less("near", "far"), project.study(), Archive(toys.root))

    assert (found.checked, "cannot be read" in found.why) == (False, True)


def test_an_unknown_evaluation_cannot_be_checked(toys: Project):
    """The spec's own evaluations are named."""
    found = judged(below("nearest", 1.0), toys)

    assert found.why == (f"a:nearest: the spec has no such evaluation; it has: {', '.join(NAMES)}")


def test_a_table_of_one_cannot_be_checked(toys: Project):
    """The smallest of one says nothing."""
    assert not judged(smallest("small"), toys).checked


def test_evidence_of_an_older_spec_is_stale(project: Project):
    """The spec was changed after the run; the old number is shown, and is no evidence."""
    project.run(noise_spec("first", "second"))
    project.write(noise_spec("first", "second", num_samples={"second": 4000}))

    found = judged(below("second", 1.0), project)

    assert found.verdict == "stale"
    assert [rule.rule for rule in found.refused[0].refusals] == ["current"]


def test_evidence_whose_files_are_gone_is_stale(project: Project):
    """Nobody can check it any more; it must be made again."""
    project.run(noise_spec("first", "second"))
    row = project.row("first", Archive(project.root))
    store.locate(project.root, row.features or "").unlink()

    found = judged(below("first", 1.0), project)

    assert found.verdict == "stale"
    assert "features" in found.why


def test_changed_evidence_is_not_stale_but_refused(project: Project):
    """A file that was altered is no matter of age."""
    project.run(noise_spec("first", "second"))
    row = project.row("first", Archive(project.root))
    path: Path = store.locate(project.root, row.samples)
    path.chmod(0o644)
    path.write_bytes(b"other")

    assert judged(below("first", 1.0), project).verdict == "unproven"


def test_a_repeat_cannot_be_picked_for_its_value(project: Project):
    """Of several measurements of one stage, the first that is admitted counts."""
    spec = noise_spec("first", "second")
    project.run(spec, first=Made(shift=2.0))
    project.run(first=Made(shift=1.0))

    (admitted,) = judged(below("first", 1.0), project).admitted

    assert admitted.row.value == pytest.approx(16.0, abs=0.5)
