"""Documents: drawn from the ledger, right where nothing was run, strict in what they read."""

from pathlib import Path
from typing import Any

import pytest

from repro.ledger.records import Decision, Imported, Start
from repro.ledger.segment import begin
from repro.report import build
from repro.report.documents.deviations import trained_changes
from repro.report.study import StudyReport
from repro.spec import load, rehearsal
from tests.report import fake
from tests.report.conftest import Project, trained_spec
from tests.report.fake import Attempt, Made

NAMES = [
    "recommendation",
    "matrix",
    "deviations",
    "rubric",
    "status",
    "artifacts",
    "runbook",
    "review",
]
SPECS = Path(__file__).parents[2] / "specs" / "imagenet"
SPEC = trained_spec(("untrained", 0, 20_000), ("trained", 2, 0), ("other", 2, 10_000))
CLAIMS = f"""
schema = 1
title = "Toys"
documents = {NAMES}

[specs.a]
path = "../../specs/toy/a.toml"

[specs.slower]
path = "../../specs/toy/a.toml"
overrides = ["train.lr=1e-4"]

[deviations]
published = "a"
ours = ["slower"]

[[recommendations]]
name = "a"
title = "Two updates"
primary = "fid"
secondary = "isc"
checkpoints = ["a:untrained", "a:trained"]
settings = ["a:other", "a:trained"]
confirmed = "a:other"
published = [{{ run = "theirs", metric = "fid" }}]

[[claims]]
kind = "comparison"
name = "training-helps"
text = "Training helps."
metric = "fid"
left = "a:trained"
relation = "less"
right = "a:untrained"

[[claims]]
kind = "comparison"
name = "slower-is-worse"
text = "A tenth of the rate is worse."
metric = "fid"
left = "a:trained"
relation = "less"
right = "slower:trained"
"""
RUBRIC = """
schema = 1

[[stages]]
name = "Foundation"
weight = 1
[[stages.criteria]]
text = "A run is done."
query = "SELECT count(*) > 0 FROM executions WHERE outcome = 'done'"
[[stages.criteria]]
text = "A rehearsal is done."
query = "SELECT count(*) > 0 FROM executions WHERE purpose = 'rehearsal'"

[[stages]]
name = "Scale"
weight = 3
[[stages.criteria]]
text = "What has no row is not met."
query = "SELECT true FROM executions WHERE outcome = 'never'"
"""


def make(project: Project, *, rubric: str = RUBRIC, claims: str = CLAIMS) -> StudyReport:
    folder = project.reports / "toy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rubric.toml").write_text(rubric, encoding="utf-8")
    (folder / "claims.toml").write_text(claims, encoding="utf-8")
    (report,) = build(project.root, project.reports)
    return report


@pytest.fixture(scope="module")
def made(shared: Project) -> StudyReport:
    deviation = Decision(topic="deviation", facts={"name": "half-the-data", "reason": "no room"})
    shared.run(
        SPEC,
        attempt=Attempt(decisions=[deviation]),
        untrained=Made(shift=3.0),
        trained=Made(shift=1.0),
        other=Made(shift=1.01),
    )
    with begin(shared.root, Start(purpose="import", study="toy")) as segment:
        for run, metric, value in (
            ("theirs", "fid", 293.57),
            ("Foundation", "completion_percent", 100.0),
            ("overall", "completion_percent", 94.5),
        ):
            named = Imported(
                source="A paper",
                study="toy",
                run=run,
                metric=metric,
                steps=(None,),
                values=(value,),
            )
            segment.append(named)
    return make(shared)


def page(report: StudyReport, name: str) -> str:
    return (report.page.parent / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_document_is_written(name: str, made: StudyReport):
    """With a title, and without a hole in it."""
    text = page(made, name)

    assert text.startswith("# Toys")
    assert "None" not in text


def test_what_cannot_be_told_from_the_best_is_as_good(made: StudyReport):
    """Of two settings whose numbers differ by less than their error the first is recommended."""
    (said,) = made.facts["documents"]["recommendation"]

    assert (said["checkpoints"]["recommended"], said["checkpoints"]["best"]) == (
        "a:trained",
        "a:trained",
    )
    assert said["settings"]["recommended"] == "a:other"
    assert {each["is"] for each in said["settings"]["candidates"]} == {"best", "indistinguishable"}
    assert "*indistinguishable*" in page(made, "recommendation")


def test_nothing_is_recommended_that_was_not_measured(made: StudyReport):
    """An alternate by a metric that nobody measured."""
    (said,) = made.facts["documents"]["recommendation"]

    assert said["alternates"]["recommended"] is None
    assert "No alternate can be recommended" in page(made, "recommendation")


def test_nothing_is_recommended_by_what_is_the_same_for_all(project: Project):
    """As a recall of zero everywhere: the page says so, and takes none."""
    same = Made(shift=1.0, fields={"value": 4.0})
    project.run(SPEC, trained=same, other=same)

    (said,) = make(project).facts["documents"]["recommendation"]

    assert said["settings"]["recommended"] is None
    assert "all 2 candidates that were measured have the same FID" in (
        project.reports / "toy" / "recommendation.md"
    ).read_text(encoding="utf-8")


def test_where_a_training_began_is_a_difference():
    """Two that go on from one checkpoint, with and without its state, differ in that, too."""
    whole, weights = (
        load(SPECS / f"recovery-{name}.toml", overrides=["train.lr=8e-5"])[0]
        for name in ("full", "weights")
    )

    found = {each.path for each in trained_changes(whole, weights)}

    assert found == {"init.mode", "train.steps"}


def test_published_numbers_stand_apart(made: StudyReport):
    """Under a heading of their own, never among the candidates."""
    ours, theirs = page(made, "recommendation").split("### What was published")

    assert "293.57" in theirs
    assert "293.57" not in ours


def test_unlike_numbers_are_no_candidates_together(project: Project):
    """What was measured on fewer images is named, and left out."""
    few = '[[evaluate]]\nname = "few"\nsample = { kind = "uniform-noise", num_samples = 500 }\n'
    project.run(SPEC + few, trained=Made(shift=1.0), other=Made(shift=2.0))
    claims = CLAIMS.replace('settings = ["a:other", "a:trained"]', 'settings = ["a:o*", "a:few"]')

    (said,) = make(project, claims=claims).facts["documents"]["recommendation"]

    assert [each["is"] for each in said["settings"]["candidates"]] == ["best", "not comparable"]


def test_completion_is_the_share_of_the_criteria(made: StudyReport):
    """Half of a stage of weight one, nothing of a stage of weight three."""
    said = made.facts["documents"]["rubric"]

    assert [each["share"] for each in said["stages"]] == [0.5, 0.0]
    assert said["share"] == 0.125
    assert (said["published"], said["stages"][0]["published"]) == (94.5, 100.0)
    assert "**12.5 %** by weight; the write-up said 94.5 %" in page(made, "rubric")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("weight = 3", "weight = 0"), "expected a number above 0, got 0"),
        (("'never'", "'never"), "rubric.toml: Scale: What has no row is not met."),
        (("SELECT true FROM", "SELECT 7 FROM executions UNION SELECT 8 FROM"), "one truth value"),
        (("[[stages]]", "[[stage]]"), "unknown key"),
        (("schema = 1", "schema = "), "rubric.toml"),
    ],
    ids=["weight", "no SQL", "no truth", "key", "no TOML"],
)
def test_a_broken_rubric_is_told(change: tuple[str, str], why: str, project: Project):
    """And no page of the study is written."""
    project.run(SPEC)

    report = make(project, rubric=RUBRIC.replace(*change))

    assert report.exit_status == 2
    assert why in " ".join(report.problems)
    assert not report.page.exists()


def test_a_deviation_shows_what_a_claim_found(made: StudyReport):
    """The two sides of a claim differ in the rate alone, so it has measured what the rate does."""
    (spec,) = made.facts["documents"]["deviations"]["specs"]
    (field,) = spec["fields"]

    assert (field["path"], field["published"], field["ours"]) == ("train.lr", 1e-3, 1e-4)
    assert [each["claim"] for each in field["measured"]] == ["slower-is-worse"]
    assert "half-the-data" in page(made, "deviations")


def test_what_a_published_spec_says_of_itself_is_told(made: StudyReport):
    """It may repeat a publication but for a field that no spec has."""
    assert "Trained on another machine." in page(made, "deviations")


def test_the_status_counts_every_run(made: StudyReport):
    """One is done, the other was never run."""
    states = {each["spec"]: each["state"] for each in made.facts["documents"]["status"]["runs"]}

    assert states == {"a": "done", "slower": "never run"}


def test_a_rehearsal_is_seen(project: Project):
    """It makes no run done."""
    project.write(SPEC)
    (spec,) = load(project.spec)
    attempt = Attempt(purpose="rehearsal")
    fake.run(project.root, project.spec, {}, attempt=attempt, spec=rehearsal(spec))

    first, _ = make(project).facts["documents"]["status"]["runs"]

    assert (first["state"], first["rehearsed"]) == ("never run", True)


def test_what_goes_on_says_how_far_it_is(project: Project):
    """An execution without a seal, at the second of two updates."""
    project.run(SPEC, attempt=Attempt(until="trained"))

    report = make(project)
    (found,) = report.facts["documents"]["status"]["going_on"]

    assert (found["stage"], found["step"], found["steps"]) == ("train drifting", 2, 2)
    assert "2 of 2" in page(report, "status")


def test_evidence_leads_the_golden_artifacts(made: StudyReport):
    """Each file once, with its digest, and what rests on it."""
    files: list[dict[str, Any]] = made.facts["documents"]["artifacts"]

    assert len({each["sha256"] for each in files}) == len(files)
    assert [each["evidence"] for each in files] == sorted(
        (each["evidence"] for each in files), reverse=True
    )
    assert all(each["here"] for each in files)


def test_the_runbook_repeats_every_number(made: StudyReport):
    """With commit, command and what is left to run, overrides included."""
    text = page(made, "runbook")

    assert "git checkout cccccccccccc\npython -m repro run specs/toy/a.toml" in text
    assert "--set train.lr=1e-4" in text


def test_a_document_that_nobody_knows_is_a_mistake(project: Project):
    """With the nearest name."""
    project.run(SPEC)

    report = make(project, claims=CLAIMS.replace("'matrix'", "'matrx'"))

    assert "did you mean 'matrix'" in " ".join(report.problems)


def test_a_second_report_changes_no_document(made: StudyReport, shared: Project):
    """Equal ledgers give equal pages."""
    before = {name: page(made, name) for name in NAMES}

    build(shared.root, shared.reports)

    assert {name: page(made, name) for name in NAMES} == before


def test_the_shipped_studies_can_be_read(tmp_path: Path):
    """Their claims and rubrics are whole, their queries run; nothing of them was run here."""
    root = tmp_path / "ledger"
    with begin(root, Start(purpose="import", study="toy")):
        pass
    shipped = Path(__file__).parents[2] / "reports"
    for study in ("drifting", "imagenet"):
        folder = tmp_path / "reports" / study
        folder.mkdir(parents=True)
        for name in ("claims.toml", "rubric.toml"):
            if (shipped / study / name).is_file():
                text = (shipped / study / name).read_text(encoding="utf-8")
                specs = f"{shipped.parent}/specs/"
                (folder / name).write_text(text.replace("../../specs/", specs), encoding="utf-8")

    built = build(root, tmp_path / "reports")

    assert [each.problems for each in built] == [(), ()]


def test_what_only_controls_name_of_other_studies_is_not_the_study_s_own(project: Project):
    """Its numbers are in the control, not in the tables, and its runs are not counted."""
    project.run(SPEC, trained=Made(shift=1.0), untrained=Made(shift=3.0))
    theirs = project.folder / "specs" / "theirs" / "b.toml"
    theirs.parent.mkdir(parents=True)
    theirs.write_text(SPEC.replace("seed = 1\n", "seed = 2\n"), encoding="utf-8")
    fake.run(project.root, theirs, {})
    control = """
[[claims.controls]]
name = "there-too"
text = "There too."
side = "b:trained"
metric = "fid"
relation = "below"
value = 1
scale = "theirs"

[specs.b]
path = "../../specs/theirs/b.toml"
"""
    claims = CLAIMS.replace(
        '\n[[claims]]\nkind = "comparison"\nname = "slower',
        f'{control}\n[[claims]]\nkind = "comparison"\nname = "slower',
    )

    facts = make(project, claims=claims).facts

    assert facts["claims"][0]["controls"][0]["result"] == "shows"
    assert facts["denominator"]["runs"] == 1
    assert not any(each["label"].startswith("b:") for each in facts["measurements"].values())
