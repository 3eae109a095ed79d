"""A study's report: its claims judged, its measurements in tables, kept on record and written."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen

from repro.errors import ClaimError
from repro.report import (
    claims,
    controls,
    documents,
    facts,
    journal,
    pages,
    plotted,
    probes,
    sides,
    tables,
    verdict,
)
from repro.report.archive import Archive
from repro.report.claims import ClaimsFile
from repro.report.imported import imported, published
from repro.report.sides import Study
from repro.report.tables import Entry
from repro.report.verdict import Judgement

CLAIMS_FILE = "claims.toml"


class Progress(Protocol):
    """Where progress goes."""

    def track(self, label: str, total: int) -> AbstractContextManager[Any]:
        """Show work of *total* units; what is entered is called with each amount done."""


@frozen(kw_only=True)
class StudyReport:
    """What a study claims and what the ledger says; `problems` if its claims cannot be read.

    `facts` is all of it as plain data, the content of `claims.json`.
    """

    name: str
    page: Path
    judgements: tuple[Judgement, ...] = ()
    facts: Mapping[str, Any] = field(factory=dict, repr=False)
    problems: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """0: every verdict is the expected one; 1: one is not; 2: one could not be checked."""
        return exit_status(self.judgements) if not self.problems else 2


def exit_status(judgements: Sequence[Judgement]) -> int:
    """As the command ends on these verdicts."""
    if not all(each.checked for each in judgements):
        return 2
    return 0 if all(each.as_expected for each in judgements) else 1


def build(
    root: Path,
    reports_dir: Path,
    *,
    studies: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[StudyReport]:
    """Judge the claims of each study, keep what is new on record, write its pages.

    Without *studies*, of every folder of *reports_dir* that has a `claims.toml`.

    Raises:
        ClaimError: a study has no claims file.
        LedgerError: there is no ledger.
    """
    names = studies or [path.parent.name for path in sorted(reports_dir.glob(f"*/{CLAIMS_FILE}"))]
    if not names:
        raise ClaimError(f"{reports_dir}: no study here; expected <study>/{CLAIMS_FILE}")
    missing = [name for name in names if not (reports_dir / name / CLAIMS_FILE).is_file()]
    if missing:
        raise ClaimError(
            *(
                f"{reports_dir / each / CLAIMS_FILE}: no such file; a page needs one, with"
                " `schema = 1` and a `title` at least"
                for each in missing
            )
        )
    archive = Archive(root)
    return [_report(archive, reports_dir / name, progress) for name in names]


def _report(archive: Archive, folder: Path, progress: Progress | None) -> StudyReport:
    try:
        said = claims.read(folder / CLAIMS_FILE)
    except ClaimError as error:
        problems = tuple(error.problems)
        return StudyReport(name=folder.name, page=folder / pages.HTML, problems=problems)
    study = sides.read_specs(said.specs, folder, beside=claims.only_beside(said, folder.name))
    judgements, entries = _judged(said, study, archive, progress, label=f"judge {folder.name}")
    told = _facts(folder.name, said, study, archive, judgements=judgements, entries=entries)
    if said.documents:
        try:
            asked = documents.facts(said, folder, told, study, archive)
        except ClaimError as error:
            page, problems = folder / pages.HTML, tuple(error.problems)
            return StudyReport(name=folder.name, page=page, problems=problems)
        told["documents"] = facts.finite(asked)
        documents.write(folder, told)
    pages.write(folder, told, archive)
    return StudyReport(
        name=folder.name, page=folder / pages.HTML, judgements=judgements, facts=told
    )


def _judged(
    said: ClaimsFile, study: Study, archive: Archive, progress: Progress | None, *, label: str
) -> tuple[tuple[Judgement, ...], tuple[Entry, ...]]:
    total = len(said.claims) + 1
    judgements = []
    with progress.track(label, total) if progress else nullcontext(_unwatched) as advance:
        entries = tables.entries(study, archive)
        advance(1)
        for claim in said.claims:
            judgements.append(verdict.judge(claim, study, archive))
            advance(1)
    return tuple(judgements), entries


def _facts(
    name: str,
    said: ClaimsFile,
    study: Study,
    archive: Archive,
    *,
    judgements: Sequence[Judgement],
    entries: Sequence[Entry],
) -> dict[str, Any]:
    measurements = facts.of_measurements(entries, judgements, archive, labels=sides.labels(study))
    told_claims = _claims(name, study, archive, judgements)
    executions = (
        *(each["execution_id"] for each in measurements.values()),
        *facts.of_control_executions(told_claims),
    )
    told = {
        "study": name,
        "title": said.title,
        "notes": said.notes,
        "exit_status": exit_status(judgements),
        "claims": told_claims,
        "plots": [plotted.of_plot(each, study, archive) for each in said.plots],
        "tables": [facts.of_table(each) for each in tables.tables(entries)],
        "screening": [facts.key(each.row) for each in tables.screening(entries)],
        "refused": [facts.key(each.row) for each in tables.refused(entries)],
        "imported": imported(archive.root, name),
        "probes": probes.numbers(study, archive),
        "pictures": probes.pictures(study, archive),
        "denominator": facts.of_denominator(tables.denominator(study, archive)),
        "unreadable": facts.of_unreadable(study, archive),
        "measurements": measurements,
        "executions": facts.of_executions(executions, archive),
        "trainings": tables.trainings(study),
    }
    plain: dict[str, Any] = facts.finite(told)
    return plain


def _claims(
    name: str, study: Study, archive: Archive, judgements: Sequence[Judgement]
) -> list[dict[str, Any]]:
    """The claims as plain data, with what stands beside each."""
    dates = journal.keep(archive.root, name, judgements)
    return [
        facts.of_claim(
            each,
            dates[each.claim.name],
            published=published(archive.root, name, each.claim.published),
            controls=[controls.check(one, study, archive) for one in each.claim.controls],
        )
        for each in judgements
    ]


def _unwatched(amount: int) -> None:
    del amount
