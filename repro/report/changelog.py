"""How a study came to where it is: what each run changed, and what came of it, oldest first.

A run is held against the one before it of the same spec file; the first of a file against the
earlier run that it differs least from. Every run of the study is a candidate for being the best,
so a result stands out only if it does among all pairs of them, and as `repro diff` of the two says.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from repro import digest
from repro.errors import IntegrityError, LedgerError
from repro.ledger.database import query
from repro.report.archive import Archive
from repro.report.changes import Change, changes
from repro.report.diff import (
    CODE,
    Compared,
    Measured,
    attempts,
    changed_values,
    compare,
    measured,
    said,
)
from repro.report.rounding import with_error
from repro.report.rows import Execution
from repro.spec.problems import choice


@frozen(kw_only=True)
class Entry:
    """A run of the study. `since` is the run that it is held against; none for the first.

    `execution` stands for the run, of `num_executions`; `error` is what ended it. `results` are
    what it measured, each beside the number of the run before.
    """

    run_id: str
    started_at: str
    execution: Execution = field(repr=False)
    num_executions: int
    error: str
    since: str | None
    spec: tuple[Change, ...]
    code: tuple[Change, ...]
    results: tuple[Compared, ...]


@frozen(kw_only=True)
class _Run:
    """A run of the study, as the ledger has it."""

    run_id: str
    started_at: str
    execution: Execution
    num_executions: int
    spec: Mapping[str, Any]


def changelog(root: Path, study: str) -> tuple[Entry, ...]:
    """Every run of a study, rehearsals apart, oldest first.

    Raises:
        LedgerError: there is no ledger, or no such study in it.
        IntegrityError: a run's recorded spec is not the one that its id names.
    """
    archive = Archive(root)
    runs = _runs(archive, study)
    ids = [run.execution.execution_id for run in runs]
    numbers = measured(ids, archive)
    ended = query(
        root, "SELECT execution_id, error FROM seals WHERE list_contains(?, execution_id)", [ids]
    )
    errors = dict(ended.rows)
    return tuple(
        _entry(run, _before(run, runs[:place]), archive, numbers, errors, candidates=len(runs))
        for place, run in enumerate(runs)
    )


def lines(entries: Sequence[Entry]) -> Iterator[str]:
    """The log as Markdown: a point a run, under it what changed and what came of it."""
    for entry in entries:
        attempt = entry.execution
        times = f", {entry.num_executions} executions" if entry.num_executions > 1 else ""
        yield (
            f"- {entry.started_at[:10]}, run {entry.run_id}: {attempt.title or attempt.spec_path}"
            f" ({attempt.outcome}{times})"
        )
        if entry.error:
            yield f"  - ended by: {entry.error}"
        yield f"  - since run {entry.since}:" if entry.since else "  - first run of the study"
        yield from (f"    - {change}" for change in (*entry.spec, *entry.code))
        yield from (f"  - result: {_result(each)}" for each in entry.results)


def _runs(archive: Archive, study: str) -> list[_Run]:
    started: dict[str, list[Execution]] = {}
    for each in archive.executions.values():
        if each.study == study and each.purpose == "run" and each.run_id is not None:
            started.setdefault(each.run_id, []).append(each)
    if not started:
        studies = {each.study for each in archive.executions.values() if each.purpose == "run"}
        raise LedgerError(f"{archive.root}: no run of study {study!r}; {choice(study, studies)}")
    standing = attempts(archive)
    return [
        _Run(
            run_id=run_id,
            started_at=each[0].started_at,
            execution=standing[run_id],
            num_executions=len(each),
            spec=_spec(each[0], archive),
        )
        for run_id, each in started.items()
    ]


def _spec(execution: Execution, archive: Archive) -> Mapping[str, Any]:
    """The recorded spec of a run as plain data.

    Raises:
        IntegrityError: it is not the one that the run's id names.
    """
    recorded = (execution.canonical_spec or "").encode()
    if digest.xxh3_128(recorded) != execution.run_id:
        raise IntegrityError(
            f"{archive.root}: execution {execution.execution_id} says that it is of run"
            f" {execution.run_id}, but its spec has the digest {digest.xxh3_128(recorded)};"
            " run verify"
        )
    spec: Mapping[str, Any] = json.loads(recorded)
    return spec


def _before(run: _Run, earlier: Sequence[_Run]) -> _Run | None:
    """The run that one is held against."""
    path = run.execution.spec_path
    of_file = [each for each in earlier if each.execution.spec_path == path]
    if of_file:
        return of_file[-1]
    return min(reversed(earlier), key=lambda each: len(changes(each.spec, run.spec)), default=None)


def _entry(
    run: _Run,
    before: _Run | None,
    archive: Archive,
    numbers: Mapping[str, Measured],
    errors: Mapping[str, str],
    *,
    candidates: int,
) -> Entry:
    own = run.execution.execution_id
    other = before.execution.execution_id if before else ""
    compared = compare(numbers.get(other, {}), numbers[own], archive, candidates=candidates)
    known = archive.provenance.get(other, {}), archive.provenance.get(own, {})
    return Entry(
        run_id=run.run_id,
        started_at=run.started_at,
        execution=run.execution,
        num_executions=run.num_executions,
        error=errors.get(own, ""),
        since=before.run_id if before else None,
        spec=changes(before.spec, run.spec) if before else (),
        code=changed_values(*known, CODE),
        results=tuple(each for each in compared if each.new is not None),
    )


def _result(compared: Compared) -> str:
    if compared.old is None and compared.new is not None:
        value = with_error(compared.new.value, compared.new.se)
        return f"{compared.evaluation} {compared.metric}: {value}"
    return said(compared)
