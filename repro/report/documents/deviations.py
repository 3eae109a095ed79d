"""How the specs of a study differ from the one that is as published, and what that does.

What a difference does is looked up among the claims of all studies: one that compares two sides
whose specs differ in this field alone has measured it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.errors import ClaimError
from repro.ledger.database import query
from repro.report import claims as claims_of
from repro.report.archive import Archive
from repro.report.asked import Deviations
from repro.report.changes import Change, changes
from repro.report.claims import ClaimsFile, Comparison
from repro.report.sides import Study, read_specs
from repro.spec import Spec, dump

FOR_PEOPLE = ("title", "notes")
TRAINED = ("init", "data", "encoder", "network", "objective", "train")
"""The tables of a spec that decide its weights."""

_VERDICTS = """
SELECT study, name, verdict FROM verdicts
QUALIFY row_number() OVER (PARTITION BY study, name ORDER BY execution_id DESC, seq DESC) = 1
"""
_RECORDED = """
SELECT executions.title, executions.execution_id, facts->>'name', facts->>'reason'
FROM decisions JOIN executions USING (execution_id)
WHERE topic = 'deviation' AND study = ? ORDER BY execution_id
"""


def facts(
    asked: Deviations | None, name: str, study: Study, archive: Archive, *, reports: Path
) -> dict[str, Any]:
    """The differing fields, and the deviations that runs recorded."""
    measured = dict(_measured(reports, archive)) if asked else {}
    return {
        "published": asked.published if asked else "",
        "notes": _notes(asked, study) if asked else "",
        "specs": [_of_spec(each, asked, study, measured) for each in asked.ours] if asked else [],
        "recorded": [
            {"title": title, "execution_id": execution_id, "name": deviation, "reason": reason}
            for title, execution_id, deviation, reason in query(
                archive.root, _RECORDED, [name]
            ).rows
        ],
    }


def _notes(asked: Deviations, study: Study) -> str:
    """What the published spec itself says of how it differs from what was published."""
    return study.runs[asked.published][0].notes if asked.published in study.runs else ""


def _of_spec(
    name: str, asked: Deviations, study: Study, measured: Mapping[str, Sequence[dict[str, Any]]]
) -> dict[str, Any]:
    problems = [study.problems[each] for each in (asked.published, name) if each in study.problems]
    if problems:
        return {"spec": name, "problems": problems, "fields": []}
    published, ours = study.runs[asked.published][0], study.runs[name][0]
    return {
        "spec": name,
        "path": str(study.paths[name]),
        "problems": [],
        "fields": [
            {
                "path": each.path,
                "what": each.what,
                "published": each.old,
                "ours": each.new,
                "measured": measured.get(each.path, []),
            }
            for each in trained_changes(published, ours)
        ],
    }


def trained_changes(old: Spec, new: Spec) -> tuple[Change, ...]:
    """The differing fields of what decides the weights."""
    before, after = (
        {table: each[table] for table in TRAINED if each.get(table) is not None}
        for each in (dump(old), dump(new))
    )
    found = changes(before, after)
    return tuple(each for each in found if each.path.rpartition(".")[2] not in FOR_PEOPLE)


def _measured(reports: Path, archive: Archive) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """By field: the claims whose two sides differ in it and in nothing else."""
    verdicts = {
        (study, name): verdict for study, name, verdict in query(archive.root, _VERDICTS).rows
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(reports.glob("*/claims.toml")):
        try:
            said = claims_of.read(path)
        except ClaimError:
            continue  # its own report says so
        for field, claim in _single_differences(said, path.parent):
            told = {
                "study": path.parent.name,
                "claim": claim.name,
                "text": claim.text,
                "verdict": verdicts.get((path.parent.name, claim.name), "unproven"),
            }
            found.setdefault(field, []).append(told)
    yield from found.items()


def _single_differences(said: ClaimsFile, folder: Path) -> Iterator[tuple[str, Comparison]]:
    compared = [each for each in said.claims if isinstance(each, Comparison)]
    pairs = {
        claim.name: (claim.left.partition(":")[0], claim.right.partition(":")[0])
        for claim in compared
    }
    unlike = {name for pair in pairs.values() if pair[0] != pair[1] for name in pair}
    study = read_specs({name: said.specs[name] for name in unlike}, folder)
    for claim in compared:
        sides = [study.runs.get(name, ()) for name in pairs[claim.name]]
        if all(sides):
            differing = trained_changes(sides[0][0], sides[1][0])
            if len(differing) == 1:
                yield differing[0].path, claim
