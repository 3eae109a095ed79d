"""Ids and values computed again from what is stored: the slow half of `verify --deep`.

Reading again proves that nothing changed since it was recorded; computing again, that it was right
then. Every formula is the one that the gate and the engine use.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from repro.errors import IntegrityError, SpecError
from repro.ledger import history
from repro.ledger.findings import Finding
from repro.report import gate
from repro.report.archive import Archive
from repro.report.rows import Row
from repro.spec import spec_of, stages


@frozen(kw_only=True)
class Recomputed:
    """What was computed again: what came out otherwise, and what could not be, each with why."""

    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...]
    num_plans: int
    num_values: int


def recompute(root: Path, executions: Collection[str]) -> Recomputed:
    """The plans and the values of these executions, computed again.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    archive = Archive(root)
    plans = [_of_plan(each) for each in _planned(root, executions)]
    rows = [row for rows in archive.rows.values() for row in rows if row.execution_id in executions]
    values = [_of_value(row, archive) for row in sorted(rows, key=_place)]
    answers = [*plans, *values]
    return Recomputed(
        findings=tuple(each for each in answers if isinstance(each, Finding)),
        unchecked=tuple(each for each in answers if isinstance(each, str)),
        num_plans=sum(not isinstance(each, str) for each in plans),
        num_values=sum(not isinstance(each, str) for each in values),
    )


def _planned(root: Path, executions: Collection[str]) -> Iterator[history.Execution]:
    """Those of these executions that attempted a run."""
    for each in history.executions(root):
        if each.execution_id in executions and each.start.run_id is not None:
            yield each


def _of_plan(execution: history.Execution) -> Finding | str | None:
    """Whether a recorded spec gives its run's id, and its plan every recorded stage id.

    A difference, or why nobody can tell, or nothing.
    """
    start, file = execution.start, _file(execution.execution_id)
    try:
        plan = stages(spec_of((start.canonical_spec or "").encode(), recorded_id=start.run_id))
    except SpecError as error:
        return f"{file}: record 0: the plan is not checked: {error}"
    expected = {each.stage_id: _told(each.kind, each.inputs) for each in plan}
    found = {
        str(each.get("stage_id")): _told(each.get("kind"), each.get("inputs") or ())
        for each in start.stages
    }
    for stage_id in (*expected, *found):
        if expected.get(stage_id) != found.get(stage_id):
            return Finding(
                file=file,
                record=0,
                problem=f"stage {stage_id} of the recorded plan is not what the spec gives",
                expected=expected.get(stage_id, "no such stage"),
                found=found.get(stage_id, "no such stage"),
            )
    return None


def _of_value(row: Row, archive: Archive) -> Finding | str | None:
    """Whether a measurement is what its stored features give, under the protocol that it names.

    A difference, or why nobody can tell, or nothing.
    """
    file, name = _file(row.execution_id), f"{row.metric} of {row.evaluation!r}"
    try:
        for sha256 in (row.features, row.reference, row.influence):
            if sha256 is not None:
                archive.check(sha256)
    except IntegrityError as error:
        return f"{file}: record {row.seq}: {name} is not checked: {error}"
    if row.features is None or row.reference is None:
        return f"{file}: record {row.seq}: {name} is not checked: it names no features to compare"
    try:
        problem = gate.another_result(row, archive) or gate.misnamed(row, archive)
    except IntegrityError as error:
        problem = str(error)
    if not problem:
        return None
    return Finding(
        file=file,
        record=row.seq,
        problem=f"{name} is not what is stored gives",
        expected="the same again",
        found=problem,
    )


def _told(kind: Any, inputs: Iterable[Any]) -> str:
    return f"{kind} on {', '.join(map(str, inputs)) or 'nothing'}"


def _file(execution_id: str) -> str:
    return f"segments/{execution_id}.jsonl"


def _place(row: Row) -> tuple[str, int]:
    return row.execution_id, row.seq
