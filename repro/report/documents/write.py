"""Which documents a study asks for, what each is drawn from, and where it lies."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from repro.report import pages
from repro.report.archive import Archive
from repro.report.claims import ClaimsFile
from repro.report.documents import artifacts, deviations, recommendation, rubric, runs
from repro.report.sides import Study


def facts(
    said: ClaimsFile, folder: Path, told: Mapping[str, Any], study: Study, archive: Archive
) -> dict[str, Any]:
    """What each document of a study says, by its name; `told` is what the claims' pages say.

    Raises:
        ClaimError: the rubric cannot be read, or one of its queries fails.
    """
    builders: dict[str, Callable[[], Any]] = {
        "recommendation": lambda: [
            recommendation.facts(each, folder.name, study, archive) for each in said.recommendations
        ],
        "deviations": lambda: deviations.facts(
            said.deviations, folder.name, study, archive, reports=folder.parent
        ),
        "rubric": lambda: rubric.facts(archive.root, folder.name, folder),
        "status": lambda: {
            "runs": runs.of_study(study, archive),
            "going_on": runs.going_on(study, archive),
        },
        "artifacts": lambda: artifacts.facts(told, archive),
        "runbook": lambda: runs.of_study(study, archive),
    }
    return {name: builders[name]() if name in builders else None for name in said.documents}


def write(folder: Path, told: Mapping[str, Any]) -> None:
    """Write every document of a study, each whole or not at all."""
    for name, document in told["documents"].items():
        page = pages.rendered(f"documents/{name}.md.jinja", {**told, "document": document})
        pages.replace(folder / f"{name}.md", page)
