"""What probes found is shown, and is no evidence."""

import pytest

from repro.report import build, probes
from repro.report.archive import Archive
from repro.report.study import StudyReport
from tests.report.conftest import Project, trained_spec
from tests.report.fake import Attempt, Made

SPEC = (
    trained_spec(("trained", 2, 0))
    + """
[[probe]]
name = "grid"
kind = "fixed-seed-grid"
checkpoints = { last = 1 }
sample = { kind = "checkpoint", num_samples = 60, sampler.kind = "one-step" }
"""
)
CLAIMS = """
schema = 1
title = "Toys"

[specs.a]
path = "../../specs/toy/a.toml"

[[claims]]
kind = "threshold"
name = "cosine"
text = "The cosine is below one half."
metric = "fid"
side = "a:trained"
relation = "below"
value = 100

[[claims.controls]]
name = "cosine-is-low"
text = "The cosine of the nearest real is below one half."
side = "a:grid"
metric = "mean_cosine"
relation = "below"
value = 0.5
scale = "60 images"
"""


@pytest.fixture(scope="module")
def made(shared: Project) -> tuple[Project, StudyReport]:
    shared.run(SPEC, grid=Made(shift=0.125))
    shared.run(attempt=Attempt(purpose="rehearsal"), grid=Made(shift=0.5))
    (shared.reports / "toy" / "claims.toml").write_text(CLAIMS, encoding="utf-8")
    (report,) = build(shared.root, shared.reports)
    return shared, report


def test_a_number_of_a_probe_is_listed_once(made: tuple[Project, StudyReport]):
    """As the run has it; a rehearsal's is left out."""
    project = made[0]

    (found,) = probes.numbers(project.study(), Archive(project.root))

    assert (found["label"], found["metric"], found["text"]) == ("grid", "mean_cosine", "0.375")


def test_its_pictures_are_in_the_page(made: tuple[Project, StudyReport]):
    """Beside the sheet of the evaluation's samples."""
    report = made[1]
    text = report.page.read_text(encoding="utf-8")

    assert [each["name"] for each in report.facts["pictures"]] == ["grid.png"]
    assert text.count("data:image/png") == 2
    assert "0.375" in report.page.with_suffix(".md").read_text(encoding="utf-8")


def test_a_picture_that_is_gone_leaves_the_page_whole(project: Project):
    """The table of artifacts still names it."""
    project.run(SPEC)
    (project.reports / "toy" / "claims.toml").write_text(CLAIMS, encoding="utf-8")
    (picture,) = probes.pictures(project.study(), Archive(project.root))
    digits = picture["sha256"].removeprefix("sha256:")
    (project.root / "objects" / digits[:2] / digits).unlink()

    (report,) = build(project.root, project.reports)

    assert report.page.read_text(encoding="utf-8").count("data:image/png") == 1


def test_it_is_no_evidence(made: tuple[Project, StudyReport]):
    """It is in no table; a control may rest on it."""
    facts = made[1].facts

    assert {each["metric"] for each in facts["measurements"].values()} == {"fid"}
    assert [each["result"] for each in facts["claims"][0]["controls"]] == ["shows"]
