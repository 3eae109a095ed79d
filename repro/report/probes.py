"""What the probes of a study found: numbers and pictures of trained networks, never evidence."""

from collections.abc import Iterator
from typing import Any

from repro.report.archive import Archive
from repro.report.rounding import with_error
from repro.report.sides import Study, labels
from repro.spec import Stage, stages

PROBE = "probe"
PICTURE = "image/png"


def numbers(study: Study, archive: Archive) -> list[dict[str, Any]]:
    """Every number that a probe measured in a run; of repeats, the first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for stage, label in _probes(study):
        for row in archive.rows.get(stage.stage_id, ()):
            if archive.executions[row.execution_id].purpose == "run":
                told = {
                    "label": label,
                    "step": row.checkpoint_step,
                    "metric": row.metric,
                    "text": with_error(row.value, row.se),
                    "num_samples": row.num_samples,
                    "execution_id": row.execution_id,
                }
                found.setdefault((stage.stage_id, row.metric), told)
    return list(found.values())


def pictures(study: Study, archive: Archive) -> list[dict[str, Any]]:
    """Every picture that a probe left in a run, each once."""
    found: dict[str, dict[str, Any]] = {}
    for stage, label in _probes(study):
        for file in archive.files.get(stage.stage_id, ()):
            real = archive.executions[file.execution_id].purpose == "run"
            if real and file.media_type == PICTURE:
                told = {"label": label, "name": file.name, "sha256": file.sha256}
                found.setdefault(file.sha256, told)
    return list(found.values())


def _probes(study: Study) -> Iterator[tuple[Stage, str]]:
    """The probe stages of the study's own specs, each once, and what to call them."""
    named = labels(study, kind=PROBE)
    known = {
        stage.stage_id: stage
        for runs in study.own.values()
        for spec in runs
        for stage in stages(spec)
        if stage.kind == PROBE
    }
    return ((stage, named[stage_id]) for stage_id, stage in known.items())
