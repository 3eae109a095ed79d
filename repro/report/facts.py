"""A report as plain data: what `claims.json` holds, and what the pages are drawn from."""

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import asdict

from repro.report import tables
from repro.report.archive import Archive
from repro.report.claims import claim_digest, condition
from repro.report.comparison import Step
from repro.report.controls import Sample, Shown
from repro.report.gate import RULES
from repro.report.journal import Dates
from repro.report.rounding import with_error, with_sign
from repro.report.rows import Row
from repro.report.sides import Study
from repro.report.tables import Denominator, Entry, Table
from repro.report.verdict import Judgement, Refused

Facts = dict[str, Any]

ENVIRONMENT = {
    "python": ("version", "implementation"),
    "torch": ("version", "cuda", "num_threads", "deterministic_algorithms"),
    "system": ("system", "release", "machine"),
    "processor": ("model", "num_cores"),
    "gpu": ("gpus",),
    "source": ("version", "sha256"),
}
"""What is shown of an execution's environment; the ledger holds more."""


def key(row: Row) -> str:
    """The name of a measurement in a page: its execution and its place in it."""
    return f"{row.execution_id}-{row.seq}"


def of_claim(
    judgement: Judgement, dates: Dates, *, published: Sequence[Facts], controls: Sequence[Shown]
) -> Facts:
    """A claim with its verdict and evidence, which is named by `key`, and what is beside it."""
    claim = judgement.claim
    return {
        "name": claim.name,
        "text": claim.text,
        "verdict": judgement.verdict,
        "expect": claim.expect,
        "as_expected": judgement.as_expected,
        "checked": judgement.checked,
        "why": judgement.why,
        "claim_digest": claim_digest(claim),
        "claimed_at": dates.claimed_at,
        "judged_at": dates.judged_at,
        "condition": condition(claim),
        "steps": [_of_step(step) for step in judgement.steps],
        "admitted": [
            {"side": each.side, "measurement": key(each.row)} for each in judgement.admitted
        ],
        "refused": [
            {
                "side": each.side,
                "measurement": key(each.row) if each.row else None,
                "refusals": [asdict(refusal) for refusal in each.refusals],
            }
            for each in _once(judgement.refused)
        ],
        "allowed": list(claim.deviations),
        "claimed": claim.claimed,
        "published": list(published),
        "controls": [_of_control(each) for each in controls],
        "open": claim.open,
    }


def of_table(table: Table) -> Facts:
    """A table with its rows named by `key`."""
    return {
        "metric": table.metric,
        "unit": table.unit,
        "num_samples": table.num_samples,
        "protocol_id": table.protocol_id,
        "measurements": [key(entry.row) for entry in table.entries],
    }


def of_denominator(denominator: Denominator) -> Facts:
    """The counts by name."""
    return asdict(denominator)


def of_unreadable(study: Study, archive: Archive) -> list[Facts]:
    """The executions of a study whose plan cannot be read: nothing was taken from them."""
    return [
        {"execution_id": execution_id, "reason": reason}
        for execution_id, reason in archive.unreadable(study.folders).items()
    ]


def of_measurements(
    entries: Sequence[Entry],
    judgements: Sequence[Judgement],
    archive: Archive,
    *,
    labels: Mapping[str, str],
) -> dict[str, Facts]:
    """Every measurement that a page speaks of, by `key`, with what it rests on.

    `labels` are what evaluations are called, by stage.
    """
    found = {key(each.row): each for each in entries}
    for judgement in judgements:
        for admitted in judgement.admitted:
            found.setdefault(key(admitted.row), tables.entry(admitted.row, (), archive))
        for refused in judgement.refused:
            if refused.row:
                another = tables.entry(refused.row, refused.refusals, archive)
                found.setdefault(key(refused.row), another)
    return {
        name: {
            "label": labels.get(each.row.stage_id, each.row.evaluation),
            **_of_entry(each, archive),
        }
        for name, each in found.items()
    }


def of_control_executions(claims: Iterable[Facts]) -> list[str]:
    """The executions behind the numbers of controls, each once."""
    numbers = (
        number
        for claim in claims
        for control in claim["controls"]
        for sample in control["samples"]
        for number in sample["numbers"]
    )
    return list(dict.fromkeys(each["execution_id"] for each in numbers))


def of_executions(execution_ids: Iterable[str], archive: Archive) -> dict[str, Facts]:
    """The attempts behind the measurements: when, by which code, where, and how to repeat them."""
    return {each: _of_execution(each, archive) for each in sorted(set(execution_ids))}


def finite(value: Any) -> Any:
    """The same data with None for the numbers that JSON cannot say."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {name: finite(item) for name, item in value.items()}
        case list() | tuple():
            return [finite(item) for item in value]
        case _:
            return value


def _once(refused: Iterable[Refused]) -> Iterator[Refused]:
    """What was refused; that a side was never measured once, however many runs it names."""
    said = set()
    for each in refused:
        if each.row is not None or each.side not in said:
            yield each
        if each.row is None:
            said.add(each.side)


def _of_control(shown: Shown) -> Facts:
    control = shown.control
    return {
        "name": control.name,
        "text": control.text,
        "metric": control.metric,
        "scale": control.scale,
        "result": shown.result,
        "why": shown.why,
        "samples": [_of_sample(each) for each in shown.samples],
    }


def _of_sample(sample: Sample) -> Facts:
    return {
        "side": sample.side,
        "text": sample.text,
        "value": sample.value,
        "se": sample.se,
        "numbers": [
            {
                "value": each.value,
                "se": each.se,
                "told": each.told,
                "step": each.step,
                "num_samples": each.row.num_samples if each.row else None,
                "run_id": each.run_id,
                "execution_id": each.execution_id,
                "stage_id": each.stage_id,
            }
            for each in sample.numbers
        ],
    }


def _of_step(step: Step) -> Facts:
    apart = step.difference
    return {
        "left": step.left,
        "right": step.right,
        "text": with_sign(apart.value, apart.se),
        "value": apart.value,
        "se": apart.se,
        "se_kind": apart.se_kind,
        "z": apart.z,
        "critical": apart.critical,
        "needed": apart.needed,
        "answer": step.answer,
        "note": step.note,
        "caveat": step.caveat,
    }


def _of_entry(entry: Entry, archive: Archive) -> Facts:
    row = entry.row
    sheet = archive.sheet(row)
    refusals = {each.rule: each.reason for each in entry.refusals}
    return {
        "evaluation": row.evaluation,
        "metric": row.metric,
        "unit": row.unit,
        "text": with_error(row.value, entry.se),
        "value": row.value,
        "se": entry.se,
        "se_kind": entry.se_kind,
        "extrapolated": entry.extrapolated,
        "num_samples": row.num_samples,
        "grade": entry.grade,
        "gate": {rule: refusals.get(rule) for rule in (*RULES, *refusals)},
        "protocol_id": row.protocol_id,
        "protocol": archive.protocols.get(row.protocol_id, {}),
        "execution_id": row.execution_id,
        "stage_id": row.stage_id,
        "checkpoint_step": row.checkpoint_step,
        "files": dict(archive.rests_on(row)),
        "sheet": sheet.sha256 if sheet else None,
    }


def _of_execution(execution_id: str, archive: Archive) -> Facts:
    execution = archive.executions[execution_id]
    known = archive.provenance.get(execution_id, {})
    git = known["git"].value if "git" in known else {}
    return {
        "execution_id": execution_id,
        "run_id": execution.run_id,
        "purpose": execution.purpose,
        "title": execution.title,
        "spec_path": execution.spec_path,
        "started_at": execution.started_at,
        "outcome": execution.outcome,
        "merkle_root": execution.merkle_root,
        "commit": git.get("commit"),
        "dirty": git.get("dirty"),
        "patches": git.get("artifacts", {}),
        "environment": _environment(known),
        "command": shlex.join(("python", "-m", "repro", *execution.command[1:])),
    }


def _environment(known: Mapping[str, Any]) -> Facts:
    return {
        provider: {
            name: known[provider].value[name]
            for name in names
            if known[provider].value.get(name) is not None
        }
        for provider, names in ENVIRONMENT.items()
        if provider in known and known[provider].value
    }
