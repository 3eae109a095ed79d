"""Numbers that others recorded: shown beside a study's own, never evidence."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from repro.ledger.exchange import import_numbers
from repro.ledger.records import Imported, Provenance, Start
from repro.ledger.segment import begin
from repro.report import build
from repro.report.archive import Archive
from repro.report.imported import MAX_NUMBERS, imported
from repro.report.tables import entries
from repro.spec import load, run_id
from tests.report.conftest import Project, noise_spec

PUBLISHED = sorted((Path(__file__).parents[2] / "reports").glob("*/published.json"))
CLAIMS = """
schema = 1
title = "Toys"

[specs.a]
path = "../../specs/toy/a.toml"

[[claims]]
kind = "threshold"
name = "low"
text = "It is low."
metric = "fid"
side = "a:one"
relation = "below"
value = 1000
"""


def take(root: Path, *told: Imported) -> None:
    with begin(root, Start(purpose="import", study="toy")) as segment:
        segment.append_all(told)


def told(
    value: float | Sequence[float],
    *,
    run: str = "lead_5",
    steps: Sequence[int | None] = (None,),
    num_samples: int | None = 10_000,
    **more,
) -> Imported:
    return Imported(
        source=more.pop("source", "A paper"),
        study=more.pop("study", "toy"),
        run=run,
        metric=more.pop("metric", "fid"),
        steps=tuple(steps),
        values=tuple(value) if isinstance(value, Sequence) else (value,),
        num_samples=num_samples,
        facts=more,
    )


def groups(root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = imported(root, "toy")["groups"]
    return found


def claim(project: Project) -> None:
    project.write(noise_spec("one"))
    (project.reports / "toy" / "claims.toml").write_text(CLAIMS, encoding="utf-8")


def test_no_claim_can_rest_on_an_imported_number(project: Project):
    """Not even on one that names the run, the stage and a value that would do."""
    claim(project)
    (spec,) = load(project.spec)
    take(
        project.root,
        told(1.0, run=run_id(spec), num_samples=2049),
        told(1.0, run="one", num_samples=2049, evaluation="one"),
    )

    (report,) = build(project.root, project.reports)

    assert [each.verdict for each in report.judgements] == ["unproven"]
    assert not report.judgements[0].admitted
    assert not entries(project.study(), Archive(project.root))


def test_an_imported_number_counts_in_no_denominator(project: Project):
    """Nothing of it was tried here."""
    claim(project)
    take(project.root, told(1.0))

    (report,) = build(project.root, project.reports)

    assert (report.facts["denominator"]["runs"], report.facts["denominator"]["executions"]) == (
        0,
        0,
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study with a number from a table, a curve, and a run with a line in it."""
    project = Project(folder=tmp_path_factory.mktemp("project"))
    claim(project)
    take(
        project.root,
        told(34.21, where="the table"),
        told(212, run="a|b\n<c>", approximate=True),
        told([1.0] * 50, run="long", steps=range(50), metric="loss", num_samples=None),
    )
    (report,) = build(project.root, project.reports)
    return report.page


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.parent.name)
def test_the_page_of_a_study_that_was_only_published(file: Path, tmp_path: Path):
    """Its numbers are drawn, though nothing is claimed: the file needs a title alone."""
    study = file.parent.name
    import_numbers(tmp_path, "json", [file], notify=lambda _: None)
    claims = tmp_path / "reports" / study / "claims.toml"
    claims.parent.mkdir(parents=True)
    claims.write_text('schema = 1\ntitle = "Published"\n', encoding="utf-8")

    (report,) = build(tmp_path, tmp_path / "reports")

    text = report.page.with_suffix(".md").read_text(encoding="utf-8")
    assert (report.problems, report.exit_status) == ((), 0)
    assert "## Recorded elsewhere" in text
    assert "| Claim |" not in text
    assert '<svg class="chart"' in report.page.read_text(encoding="utf-8")


def test_the_page_shows_what_others_recorded(page: Path):
    """With the source, the place in it, and the warning that it is no evidence."""
    text = page.with_suffix(".md").read_text(encoding="utf-8")

    assert "## Recorded elsewhere\n\nTo look at, never evidence" in text
    assert "### FID of 10,000 images, from A paper" in text
    assert "| lead_5 | 34.21 | the table |\n| a\\|b <c> | about 212 |  |" in text
    assert "### loss, from A paper" in text
    assert "| long | 1 at step 49, the last of 50 |  |" in text


def test_the_page_draws_what_others_recorded(page: Path):
    """A picture a group, and a name from elsewhere is text, not markup."""
    text = page.read_text(encoding="utf-8")

    assert text.count('<svg class="chart"') == 2
    assert "a|b\n&lt;c&gt;" in text
    assert "<c>" not in text


def test_the_numbers_are_in_the_json(page: Path):
    """A program gets what a person sees."""
    said = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    said = said["imported"]["groups"]

    assert [(each["metric"], each["num_samples"], len(each["runs"])) for each in said] == [
        ("fid", 10_000, 2),
        ("loss", None, 1),
    ]
    assert said[0]["runs"][0]["numbers"] == [[None, 34.21]]


def test_what_may_not_be_compared_stands_apart(tmp_path: Path):
    """Another source, another metric, another number of samples."""
    take(
        tmp_path,
        told(1.0),
        told(2.0, source="Another"),
        told(3.0, metric="isc"),
        told(4.0, num_samples=1000),
        told(5.0, num_samples=None),
        told(6.0, study="other"),
    )

    found = [
        (group["source"], group["metric"], group["num_samples"], run["text"])
        for group in groups(tmp_path)
        for run in group["runs"]
    ]

    assert found == [
        ("A paper", "fid", 10_000, "1"),
        ("A paper", "fid", 1000, "4"),
        ("A paper", "fid", None, "5"),
        ("A paper", "isc", 10_000, "3"),
        ("Another", "fid", 10_000, "2"),
    ]


def test_a_long_curve_is_thinned(tmp_path: Path):
    """Its first and last numbers stay."""
    take(tmp_path, told([float(step) for step in range(2500)], steps=range(2500)))

    ((run,),) = (group["runs"] for group in groups(tmp_path))

    assert (run["count"], run["numbers"][0], run["numbers"][-1]) == (2500, [0, 0.0], [2499, 2499.0])
    assert MAX_NUMBERS / 2 < len(run["numbers"]) <= MAX_NUMBERS + 1


def test_a_page_says_what_it_leaves_out(project: Project, monkeypatch: pytest.MonkeyPatch):
    """A tracker may hold thousands of runs and metrics."""
    monkeypatch.setattr("repro.report.imported.MAX_GROUPS", 2)
    monkeypatch.setattr("repro.report.imported.MAX_RUNS", 3)
    claim(project)
    told_ = [told(1.0, run=f"r{index}", metric=metric) for metric in "abc" for index in range(5)]
    take(project.root, *told_)

    (report,) = build(project.root, project.reports)

    said = report.facts["imported"]
    assert (said["num_groups"], [each["num_runs"] for each in said["groups"]]) == (3, [5, 5])
    assert [run["run"] for run in said["groups"][0]["runs"]] == ["r0", "r1", "r2"]
    for suffix in (".md", ".html"):
        text = report.page.with_suffix(suffix).read_text(encoding="utf-8")
        assert text.count("2 more runs are in the table") == 2
        assert text.count("1 more metrics are in the table") == 1


def test_runs_come_in_the_order_told(tmp_path: Path):
    """As the table of a paper has them; and a run's numbers by step."""
    take(tmp_path, told(2.0, run="b"), told([5.0, 4.0, 3.0], run="a", steps=[1, 2, 3]))
    take(tmp_path, told(1.0, run="b"))

    (group,) = groups(tmp_path)

    assert [(run["run"], run["text"]) for run in group["runs"]] == [
        ("b", "2, 1"),
        ("a", "5 at step 1, 4 at step 2, 3 at step 3"),
    ]


def test_a_study_without_imports_has_no_section(project: Project):
    """Nothing is said where there is nothing to say."""
    claim(project)
    with begin(project.root, Start(purpose="import", study="toy")) as segment:
        segment.append(Provenance(provider="import", status="ok"))

    (report,) = build(project.root, project.reports)

    assert report.facts["imported"] == {"num_groups": 0, "groups": []}
    assert "Recorded elsewhere" not in report.page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "group",
    [
        [told([float("nan"), 1.0], steps=[1, 2])],
        [told(float("inf"))],
        [told(1.0, run=f"{index}{'x' * 60}") for index in range(50)],
        [told([1.0] * 60, run=f"{index}", steps=range(60)) for index in range(9)],
        [told(1.0, run="$a_{$", metric="$\\frac$")],
    ],
    ids=[
        "a NaN",
        "only infinite",
        "many runs without a step",
        "more curves than colours",
        "half a formula",
    ],
)
def test_any_numbers_can_be_drawn(group: list[Imported], project: Project):
    """A page is made of whatever was imported."""
    claim(project)
    take(project.root, *group)

    (report,) = build(project.root, project.reports)

    assert '<svg class="chart"' in report.page.read_text("utf-8")
