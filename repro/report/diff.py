"""What differs between two executions: spec, code, environment, and the numbers that came out.

A difference of numbers is judged by the rules of claims (B1 to B4), widened for how many are
compared here. It is no verdict: the gate is not asked whether the numbers may be evidence.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from attrs import evolve, frozen

from repro.errors import IntegrityError, LedgerError, SpecError
from repro.ledger.database import query
from repro.report import comparison
from repro.report.archive import Archive
from repro.report.changes import Change, changes
from repro.report.difference import Difference
from repro.report.named_run import NamedRun, named_run
from repro.report.rounding import in_errors, with_error, with_sign
from repro.report.rows import Execution, Provenance, Row

CODE = ("git", "source")
"""The providers that know the code; all others know the environment."""

ATTEMPTS = ("run", "rehearsal")

Finding = Literal[
    "less", "greater", "equal", "indistinguishable", "shared", "incomparable", "unknown", "missing"
]
Measured = Mapping[tuple[str, str], Row]
"""Measurements by evaluation and metric."""


@frozen(kw_only=True)
class Compared:
    """A measurement of both sides. `finding` says what the new value is, beside the old one.

    `shared`: both sides have the very same measurement. `incomparable`: other protocol or number
    of images (rule B1). `unknown`: what it needs is gone. `missing`: one side does not have it.
    """

    evaluation: str
    metric: str
    old: Row | None
    new: Row | None
    finding: Finding
    difference: Difference | None = None
    why: str = ""


@frozen(kw_only=True)
class Diff:
    """Everything that differs; `unknown` says what could not be compared, and why."""

    old: Execution
    new: Execution
    spec: tuple[Change, ...]
    code: tuple[Change, ...]
    environment: tuple[Change, ...]
    unknown: tuple[str, ...]
    measurements: tuple[Compared, ...]


def diff(root: Path, old: str, new: str) -> Diff:
    """What differs between two executions, each named by an id, or by a run or its spec file.

    Raises:
        SpecError: a file cannot be read as one spec.
        LedgerError: there is no such execution in the ledger.
    """
    archive = Archive(root)
    runs = named_run(root, old), named_run(root, new)
    sides = _execution(runs[0], archive), _execution(runs[1], archive)
    ids = sides[0].execution_id, sides[1].execution_id
    known = archive.provenance.get(ids[0], {}), archive.provenance.get(ids[1], {})
    providers = dict.fromkeys((*known[0], *known[1]))
    found = measured(ids, archive)
    return Diff(
        old=sides[0],
        new=sides[1],
        spec=changes(runs[0].spec, runs[1].spec),
        code=changed_values(*known, [each for each in providers if each in CODE]),
        environment=changed_values(*known, [each for each in providers if each not in CODE]),
        unknown=tuple(_unknown(*known, providers)),
        measurements=compare(found[ids[0]], found[ids[1]], archive),
    )


def attempts(archive: Archive) -> Mapping[str, Execution]:
    """The execution that stands for each run: of those that ended well, the one that computed most.

    Of equals it is the newest. A rehearsal, or one that did not end well, stands for a run that
    has nothing better.
    """
    events = itertools.chain.from_iterable(archive.events.values())
    num_done = Counter(event.execution_id for event in events if event.event == "done")

    def worth(each: Execution) -> tuple[bool, bool, int]:
        return each.purpose == "run", each.outcome == "done", num_done[each.execution_id]

    found = [each for each in archive.executions.values() if each.purpose in ATTEMPTS]
    return {each.run_id: each for each in sorted(found, key=worth) if each.run_id is not None}


def measured(execution_ids: Sequence[str], archive: Archive) -> Mapping[str, Measured]:
    """The measurements of each execution's plan, those of reused stages too."""
    statement = (
        "SELECT stages.execution_id, stages.name, measurements.execution_id AS measured_by,"
        " measurements.seq FROM stages"
        " JOIN measurements ON measurements.execution_id = stages.done_by"
        " AND measurements.stage_id = stages.stage_id"
        " WHERE list_contains(?, stages.execution_id) ORDER BY measurements.seq"
    )
    rows = {(row.execution_id, row.seq): row for rows in archive.rows.values() for row in rows}
    found: dict[str, dict[tuple[str, str], Row]] = {each: {} for each in execution_ids}
    for execution_id, name, *place in query(archive.root, statement, [list(found)]).rows:
        row = rows.get((place[0], place[1]))
        if row is not None:  # else it was measured since the archive was read
            found[execution_id][name, row.metric] = row
    return found


def compare(
    old: Measured, new: Measured, archive: Archive, *, candidates: int = 2
) -> tuple[Compared, ...]:
    """Each measurement of either side with its counterpart of the same evaluation and metric.

    The margin is widened for *candidates*, and for at least as many differences as are judged here.
    """
    keys = dict.fromkeys((*old, *new))
    judged = (key for key in keys if key in old and key in new and old[key] != new[key])
    candidates = max(candidates, _candidates(sum(1 for _ in judged)))
    return tuple(
        _compared(key, old.get(key), new.get(key), archive, candidates=candidates) for key in keys
    )


def changed_values(
    old: Mapping[str, Provenance], new: Mapping[str, Provenance], providers: Sequence[str]
) -> tuple[Change, ...]:
    """What changed in what these providers knew, where both sides knew anything."""
    both = [each for each in providers if _known(old, each) and _known(new, each)]
    before = {each: old[each].value for each in both}
    return changes(before, {each: new[each].value for each in both})


def lines(diff: Diff) -> Iterator[str]:
    """What a person reads: both sides, then each part and what changed in it."""
    yield f"old  {_named(diff.old)}"
    yield f"new  {_named(diff.new)}"
    parts = {"spec": diff.spec, "code": diff.code, "environment": diff.environment}
    for name, found in parts.items():
        yield ""
        yield name if found else f"{name}: no difference is known"
        yield from (f"  {change}" for change in found)
    if diff.unknown:
        yield ""
        yield "not compared"
        yield from (f"  {each}" for each in diff.unknown)
    yield ""
    yield "measurements (new - old)" if diff.measurements else "measurements: none"
    yield from (f"  {said(each)}" for each in diff.measurements)


def said(compared: Compared) -> str:
    """A comparison in one line: both values, their difference, what it says."""
    values = [
        with_error(row.value, row.se) if row else "none" for row in (compared.old, compared.new)
    ]
    text = f"{compared.evaluation} {compared.metric}: {' -> '.join(values)}"
    apart = compared.difference
    if apart is not None and 0 < apart.se < math.inf:
        needed = in_errors(apart.needed / apart.se)
        text += f", {with_sign(apart.value, apart.se)} ({apart.se_kind}; "
        text += f"{in_errors(apart.z)} standard errors, {needed} needed)"
    return f"{text}: {compared.finding}{f', {compared.why}' if compared.why else ''}"


def _execution(run: NamedRun, archive: Archive) -> Execution:
    """The execution that was named, or that stands for the run.

    Raises:
        LedgerError: the run was never executed in this ledger.
    """
    if run.execution_id is not None:
        return archive.executions[run.execution_id]
    found = attempts(archive).get(run.run_id)
    if found is None:
        raise LedgerError(f"{archive.root}: {run.name} is run {run.run_id}, never executed here")
    return found


def _named(execution: Execution) -> str:
    return (
        f"run {execution.run_id}  execution {execution.execution_id}"
        f"  {execution.outcome}  {execution.title}"
    ).rstrip()


def _known(known: Mapping[str, Provenance], provider: str) -> bool:
    return provider in known and known[provider].status != "unavailable"


def _unknown(
    old: Mapping[str, Provenance], new: Mapping[str, Provenance], providers: Mapping[str, None]
) -> Iterator[str]:
    """Why a part of code or environment is not known, where it is not."""
    for side, known in (("old", old), ("new", new)):
        for provider in providers:
            if provider not in known:
                yield f"{provider} of the {side} side: not recorded"
            elif known[provider].status != "ok":
                yield f"{provider} of the {side} side: {known[provider].reason}"


def _compared(
    key: tuple[str, str], old: Row | None, new: Row | None, archive: Archive, *, candidates: int
) -> Compared:
    bare = Compared(evaluation=key[0], metric=key[1], old=old, new=new, finding="missing")
    if old is None or new is None:
        return evolve(bare, why=f"only the {'old' if new is None else 'new'} side has it")
    if old == new:
        return evolve(bare, finding="shared")
    refusal = comparison.incomparable((old, new), archive)
    if refusal:
        return evolve(bare, finding="incomparable", why=f"{refusal.rule}: {refusal.reason}")
    if not _finite(old) or not _finite(new):
        return evolve(bare, finding="unknown", why="a value is not finite")
    try:
        return _judged(bare, old, new, archive, candidates=candidates)
    except (IntegrityError, SpecError) as error:
        return evolve(bare, finding="unknown", why=str(error))


def _judged(bare: Compared, old: Row, new: Row, archive: Archive, *, candidates: int) -> Compared:
    if old.value == new.value:
        return evolve(bare, finding="equal")
    try:
        step = comparison.between_rows(new, old, sign=-1, candidates=candidates, archive=archive)
        gone = ""
    except IntegrityError as error:
        alone = evolve(new, influence=None)
        step = comparison.between_rows(alone, old, sign=-1, candidates=candidates, archive=archive)
        gone = f"not paired: {error}"
    findings: Mapping[str, Finding] = {"supported": "less", "refuted": "greater"}
    return evolve(
        bare,
        finding=findings.get(step.answer, "indistinguishable"),
        difference=step.difference,
        why="; ".join(filter(None, (step.note, gone))),
    )


def _finite(row: Row) -> bool:
    return row.value is not None and math.isfinite(row.value)


def _candidates(comparisons: int) -> int:
    """How many candidates have at least as many pairs among them: 2 for one, 3 for two."""
    return max(2, math.ceil((1 + math.sqrt(1 + 8 * comparisons)) / 2))
