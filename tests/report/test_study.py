"""A study's report: exit status, records, and pages that depend on the ledger alone."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from repro.digest import canonical, xxh3_128
from repro.errors import ClaimError, LedgerError
from repro.ledger import query
from repro.ledger.records import Decision, Start
from repro.ledger.segment import begin
from repro.report import build
from repro.report.archive import Archive
from repro.report.study import StudyReport
from repro.report.tables import entries
from tests.report.conftest import Project, trained_spec
from tests.report.fake import RANDOM_DIGEST, Attempt, Made

SPEC = (
    trained_spec(("untrained", 0, 20_000), ("trained", 2, 0), ("other", 2, 10_000))
    + """
[[evaluate]]
name = "small"
sample = { kind = "uniform-noise", num_samples = 500 }

[[evaluate]]
name = "random"
sample = { kind = "uniform-noise", num_samples = 2049, seed = 7 }
"""
)

CLAIMS = """
schema = 1
title = "Toys & <tools>"
notes = "Nothing here is *real*.\\n\\nLook at `a*b*c`."

[specs.a]
path = "../../specs/toy/a.toml"

[[claims]]
kind = "comparison"
name = "training-helps"
text = "Training helps."
metric = "fid"
left = "a:trained"
relation = "less"
right = "a:untrained"

[[claims]]
kind = "threshold"
name = "by-a-random-network"
text = "By a random network it is good."
metric = "fid"
side = "a:random"
relation = "below"
value = 1
expect = "unproven"
"""

MADE: dict[str, Any] = {
    "untrained": Made(shift=3.0),
    "trained": Made(shift=1.0),
    "other": Made(shift=1.05),
    "random": Made(facts={"extractor.weights_digest": RANDOM_DIGEST}),
}


def write_claims(project: Project, text: str = CLAIMS, *, study: str = "toy") -> None:
    folder = project.reports / study
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "claims.toml").write_text(text, encoding="utf-8")


def copied(project: Project, folder: Path) -> Project:
    """The same project elsewhere, to be written to."""
    shutil.copytree(project.folder, folder / "copy")
    return Project(folder=folder / "copy")


def only(project: Project) -> StudyReport:
    (report,) = build(project.root, project.reports)
    return report


@pytest.fixture(scope="module")
def built(shared: Project) -> tuple[Project, StudyReport]:
    killed = shared.run(SPEC, attempt=Attempt(until="other"), **MADE)
    shared.run(attempt=Attempt(reused={"untrained": killed, "trained": killed}), **MADE)
    write_claims(shared)
    return shared, only(shared)


@pytest.fixture(scope="module")
def page(built: tuple[Project, StudyReport]) -> str:
    return built[1].page.read_text(encoding="utf-8")


def test_verdicts_as_expected_are_success(built: tuple[Project, StudyReport]):
    """An unproven claim that expects to be unproven is no failure."""
    report = built[1]

    verdicts = [(each.claim.name, each.verdict) for each in report.judgements]

    assert verdicts == [("training-helps", "supported"), ("by-a-random-network", "unproven")]
    assert report.exit_status == 0


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (('expect = "unproven"', 'expect = "supported"'), 1),
        (("a:untrained", "a:trained@1"), 2),
        (("a.toml", "missing.toml"), 2),
        (('name = "training-helps"', 'nome = "training-helps"'), 2),
    ],
    ids=["not as expected", "no such evaluation", "no such spec", "broken file"],
)
def test_the_exit_status_tells_no_from_unknown(
    change: tuple[str, str], status: int, built: tuple[Project, StudyReport], tmp_path: Path
):
    """1: the answer is no. 2: it could not be asked."""
    other = copied(built[0], tmp_path)
    write_claims(other, CLAIMS.replace(*change))

    assert only(other).exit_status == status


def test_a_broken_file_keeps_no_other_study_out(built: tuple[Project, StudyReport], tmp_path: Path):
    """Its mistakes are reported; the others are built."""
    other = copied(built[0], tmp_path)
    write_claims(other, "schema = 1", study="broken")

    broken, toy = build(other.root, other.reports)

    assert (broken.name, broken.exit_status, len(broken.problems)) == ("broken", 2, 1)
    assert (toy.name, toy.exit_status) == ("toy", 0)


def test_a_study_without_claims_is_an_error(project: Project):
    """The file that is missing is named."""
    with pytest.raises(ClaimError, match=r"toys/claims.toml: no such file"):
        build(project.root, project.reports, studies=["toys"])


def test_no_study_at_all_is_an_error(project: Project):
    """An empty folder has nothing to report."""
    with pytest.raises(ClaimError, match="no study here"):
        build(project.root, project.reports)


def test_no_ledger_is_an_error(project: Project):
    """Nothing was run here yet."""
    project.write(SPEC)
    write_claims(project)

    with pytest.raises(LedgerError, match="no ledger here"):
        build(project.root, project.reports)


def files(project: Project) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (project.reports / "toy").glob("claims.*")}


def test_a_second_report_changes_nothing(built: tuple[Project, StudyReport]):
    """Neither a byte of the pages nor the ledger, which holds the verdicts already."""
    project = built[0]
    before = files(project), sorted((project.root / "segments").iterdir())

    build(project.root, project.reports)

    assert (files(project), sorted((project.root / "segments").iterdir())) == before
    assert set(before[0]) == {"claims.toml", "claims.json", "claims.md", "claims.html"}


def test_notes_are_paragraphs(built: tuple[Project, StudyReport]):
    """With what is stressed and what is code; a star within code is a star."""
    page = (built[0].reports / "toy" / "claims.html").read_text(encoding="utf-8")

    assert '<p class="lead">Nothing here is <em>real</em>.</p>' in page
    assert '<p class="lead">Look at <code>a*b*c</code>.</p>' in page


def test_the_page_says_first_what_is_claimed(built: tuple[Project, StudyReport]):
    """What each verdict rests on stands before the tables of numbers."""
    page = (built[0].reports / "toy" / "claims.md").read_text(encoding="utf-8")

    assert page.index("## What each verdict rests on") < page.index("## Evidence")


def test_claims_and_verdicts_are_on_record(built: tuple[Project, StudyReport]):
    """The ledger dates what was claimed, and what was said of it."""
    project = built[0]
    statement = "SELECT claims.name, claims.text, verdict FROM claims JOIN verdicts USING (name)"

    rows = query(project.root, f"{statement} ORDER BY claims.name").rows

    assert rows == (
        ("by-a-random-network", "By a random network it is good.", "unproven"),
        ("training-helps", "Training helps.", "supported"),
    )


def test_a_changed_verdict_is_added(built: tuple[Project, StudyReport], tmp_path: Path):
    """The old one stays: what was believed, and when."""
    project = copied(built[0], tmp_path)
    project.write(SPEC.replace("seed = 20000", "seed = 30000"))
    build(project.root, project.reports)

    found = query(
        project.root,
        "SELECT verdict FROM verdicts WHERE name = 'training-helps' ORDER BY recorded_at",
    )

    assert found.rows == (("supported",), ("stale",))


def test_json_holds_everything(built: tuple[Project, StudyReport]):
    """A program gets what a person sees."""
    project, report = built

    said = json.loads((project.reports / "toy" / "claims.json").read_text(encoding="utf-8"))

    assert said == report.facts
    assert set(said["measurements"]) == {
        name for table in said["tables"] for name in table["measurements"]
    } | {*said["refused"], *said["screening"]}


def test_the_denominator_counts_what_was_tried(built: tuple[Project, StudyReport]):
    """One run, two executions of which one was killed, five evaluations."""
    assert built[1].facts["denominator"] == {
        "runs": 1,
        "runs_done": 1,
        "executions": 2,
        "executions_done": 1,
        "executions_failed": 0,
        "executions_interrupted": 0,
        "executions_open": 1,
        "evaluations": 5,
        "rehearsals": 0,
    }


def test_small_and_refused_sets_stand_apart(built: tuple[Project, StudyReport]):
    """Neither shares a table with evidence."""
    facts = built[1].facts

    def names(keys: list[str]) -> list[str]:
        return [facts["measurements"][key]["evaluation"] for key in keys]

    assert [names(table["measurements"]) for table in facts["tables"]] == [
        ["trained", "other", "untrained"]
    ]
    assert (names(facts["refused"]), names(facts["screening"])) == (["random"], ["small"])


def test_three_sampling_seeds_give_the_error(project: Project):
    """The spread over repeats replaces the error of one set."""
    rows = (("one", 2, 0), ("two", 2, 10_000), ("three", 2, 20_000))
    project.run(trained_spec(*rows), two=Made(shift=0.5), three=Made(shift=1.0))
    write_claims(project, CLAIMS.replace("a:random", "a:one").replace("a:trained", "a:one"))

    facts = only(project).facts

    kinds = {each["se_kind"] for each in facts["measurements"].values()}
    assert kinds == {"over 3 sampling seeds"}


def test_sets_with_common_images_give_no_error(project: Project):
    """Three sets that share all but two images agree far better than fresh ones would."""
    rows = (("one", 2, 0), ("two", 2, 1), ("three", 2, 2))
    project.run(trained_spec(*rows), two=Made(shift=0.01))

    found = entries(project.study(), Archive(project.root))

    assert {entry.se_kind for entry in found} == {"influence"}


def test_an_execution_that_cannot_be_read_is_listed(
    built: tuple[Project, StudyReport], tmp_path: Path
):
    """Its spec names a plug-in that is gone; every other number stands, and the pages say so."""
    other = copied(built[0], tmp_path)
    gone = canonical({"schema": 1, "spec": {"plugin": {"kind": "gone"}}})
    start = Start(purpose="run", run_id=xxh3_128(gone), canonical_spec=gone.decode())
    segment = begin(other.root, start)
    segment.seal("done")

    report = only(other)

    assert report.exit_status == 0
    assert [each["execution_id"] for each in report.facts["unreadable"]] == [segment.execution_id]
    for page in ("claims.md", "claims.html"):
        assert segment.execution_id in (report.page.parent / page).read_text(encoding="utf-8")


class Links(HTMLParser):
    """The links, anchors and sources of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        for name, value in attrs:
            if name == "href":
                self.targets.append(value or "")
            elif name == "src":
                self.sources.append(value or "")
            elif name == "id":
                self.ids.append(value or "")


@pytest.fixture(scope="module")
def links(page: str) -> Links:
    found = Links()
    found.feed(page)
    return found


def test_the_page_needs_nothing_else(links: Links, page: str):
    """No picture, style or script comes from anywhere but the file."""
    assert all(source.startswith("data:image/") for source in links.sources)
    assert all(target.startswith("#") for target in links.targets)
    assert not re.search(r"https?://|@import|url\(", page)


def test_every_link_of_the_page_leads_somewhere(links: Links):
    """Each number is one step away from what it rests on."""
    assert len(links.ids) == len(set(links.ids))
    assert {target[1:] for target in links.targets} <= set(links.ids)


def test_the_page_shows_pictures(links: Links, page: str):
    """A plot with error bars, the energies of training, sample sheets."""
    kinds = [source.split(";")[0] for source in links.sources]

    assert page.count("<svg") == 2
    assert kinds.count("data:image/png") >= 1


@pytest.mark.parametrize("name", ["html", "md"])
def test_a_page_says_how_to_repeat_a_number(name: str, built: tuple[Project, StudyReport]):
    """With the commit, the command and the run's id."""
    project, report = built
    text = (project.reports / "toy" / f"claims.{name}").read_text(encoding="utf-8")
    (execution, *_) = report.facts["executions"].values()

    assert execution["command"] == "python -m repro run specs/toy/a.toml"
    for each in (execution["command"], execution["run_id"], "c" * 12):
        assert each in text


def test_text_is_escaped(page: str):
    """A title is text, not markup."""
    assert "Toys &amp; &lt;tools&gt;" in page


def test_the_page_names_each_rule(page: str):
    """A refused number says which rule refused it."""
    assert '<span class="rule">✗ weights</span>' in page


def test_loading_the_report_is_light():
    """Numbers, plots and templates are loaded when a page is built."""
    code = (
        "import sys, repro.report;"
        "print([each for each in ('torch', 'numpy', 'jinja2', 'duckdb')"
        " if each in sys.modules])"
    )

    output = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert output.strip() == "[]"


def test_a_page_says_what_its_evidence_was_admitted_in_spite_of(project: Project):
    """A claim about a run that deviates, beside which others would be refused."""
    decision = Decision(topic="deviation", facts={"name": "fewer-classes"})
    project.run(SPEC, attempt=Attempt(decisions=(decision,)), **MADE)
    allowed = 'deviations = ["fewer-classes"]\nleft = "a:trained"'
    write_claims(project, CLAIMS.replace('left = "a:trained"', allowed))

    page = only(project).page.with_suffix(".md")

    said = "admitted although, as the claim is about it: `fewer-classes`"
    assert page.read_text(encoding="utf-8").count(said) == 1
