"""What the segments say, read without the database: for the engine, `show` and `verify`.

A torn last line (a writer was killed, or is writing) is no record. Anything else that does not
follow breaks the segment; nothing is reused from a broken segment.
"""

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from attrs import evolve, field, frozen

from repro import digest
from repro.errors import LedgerError
from repro.ledger import machine, records, store
from repro.ledger.chain import ChainError, Line, Tip, follow, leaf_of, parse, root_of
from repro.ledger.lease import left_behind
from repro.ledger.machine import Process
from repro.ledger.records import (
    Artifact,
    Checkpoint,
    Measurement,
    Progress,
    Provenance,
    Record,
    Seal,
    StageEvent,
    Start,
    Tombstone,
)

_TAIL_BYTES = 1 << 13
_MAX_KNOWN = 1 << 16
_STAGE_ID = re.compile(rb'"stage_id":"([^"]+)"')
_EXECUTION_ID = re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}", re.ASCII)

PARTS = frozenset({"latents"})
"""The roles of files that a stage leaves one by one, and goes on from when it was cut off."""

Status = Literal["running", "open", "done", "failed", "interrupted"]


@frozen(kw_only=True)
class Execution:
    """One attempt; `seal` and `ended_at` are none until it has ended by itself."""

    execution_id: str
    start: Start
    started_at: str
    seal: Seal | None
    ended_at: str | None
    status: Status


@frozen(kw_only=True)
class DoneStage:
    """A stage that an execution finished, with everything that it recorded for the stage."""

    stage_id: str
    execution_id: str
    event: StageEvent
    artifacts: tuple[Artifact, ...]
    checkpoints: tuple[Checkpoint, ...]
    measurements: tuple[Measurement, ...]


@frozen(kw_only=True)
class SavedTraining:
    """How far one execution of a training came: what another can go on from, by step.

    `provenance` is what that execution knew of its code and machine, by provider.
    """

    execution_id: str
    checkpoints: tuple[Checkpoint, ...]
    provenance: Mapping[str, Provenance] = field(factory=dict)


@frozen(kw_only=True)
class SavedArtifacts:
    """What one execution left of a stage that keeps its work in parts, in order of their names."""

    execution_id: str
    artifacts: tuple[Artifact, ...]
    provenance: Mapping[str, Provenance]


def require(root: Path) -> None:
    """Refuse to answer for a ledger that is not there.

    Raises:
        LedgerError: there is none.
    """
    if not (root / "segments").is_dir():
        raise LedgerError(f"{root}: no ledger here; run a spec first, or name its folder")


def require_beginning(root: Path, beginning: str) -> None:
    """Refuse the empty beginning of an id, which every id has.

    Raises:
        LedgerError: it is empty.
    """
    if not beginning:
        raise LedgerError(f"{root}: an empty id; write at least its first digit")


def segment_paths(root: Path) -> list[Path]:
    """Every segment, oldest first."""
    return sorted(path for path in (root / "segments").glob("*.jsonl") if path.is_file())


def segment_path(root: Path, execution_id: str) -> Path:
    """Where an execution's segment lies."""
    return root / "segments" / f"{execution_id}.jsonl"


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of one segment, each checked; a sealed one is held against its seal.

    Raises:
        ChainError: at the first line that does not follow.
    """
    return lines_of(path.read_bytes(), execution_id=path.stem)


def lines_of(data: bytes, *, execution_id: str) -> Iterator[Line]:
    """The lines of a segment's bytes, checked as `read_lines` does."""
    *whole, torn = data.split(b"\n")
    leaves, sealed_by = list[bytes](), None
    for line in follow(whole, Tip()):
        if line.seq == 0:
            hold_to_place(line, execution_id)
        if line.kind == "seal":
            _hold_to_seal(line, root_of(leaves))
            sealed_by = line.seq
        leaves.append(leaf_of(line.raw))
        yield line
    if torn and sealed_by is not None:
        found = f"{len(torn)} bytes"
        raise ChainError(sealed_by + 1, "added after the seal", expected="nothing", found=found)


def hold_to_place(line: Line, execution_id: str) -> None:
    """Hold a first line against the file that it is in.

    Raises:
        ChainError: it is no start, or starts another execution, or is of another format.
    """
    if not _EXECUTION_ID.fullmatch(execution_id):
        problem = "is in a file that no execution names so"
        raise ChainError(line.seq, problem, expected=_EXECUTION_ID.pattern, found=execution_id)
    format_ = line.data.get("format")
    readable = format_ if format_ in records.FORMATS else records.FORMAT
    expected = ("start", execution_id, readable)
    found = (line.kind, line.data.get("execution_id"), format_)
    for name, wanted, actual in zip(
        ("kind", "execution_id", "format"), expected, found, strict=True
    ):
        if actual != wanted:
            problem = f"does not start this segment: its {name} is another"
            raise ChainError(line.seq, problem, expected=str(wanted), found=str(actual))


def decoded(line: Line) -> Record | None:
    """The record of a line; none if only a newer version knows its kind.

    Raises:
        ChainError: the line holds no possible record.
    """
    try:
        return records.decode(line.kind, line.data)
    except ValueError as error:
        problem = "is not a possible record"
        raise ChainError(line.seq, problem, expected=line.kind, found=str(error)) from error


def recorded_spec(start: Start) -> Any:
    """The resolved spec of a run as plain data, held against the run's id; none without a run.

    Raises:
        ChainError: the id is the digest of something else, or the spec cannot be read.
    """
    spec, run_id = start.canonical_spec, start.run_id
    actual = None if spec is None else digest.xxh3_128(spec.encode())
    if actual != run_id:
        problem = "the run's id is not the digest of its spec"
        raise ChainError(0, problem, expected=str(actual), found=str(run_id))
    try:
        return None if spec is None else json.loads(spec)
    except (ValueError, RecursionError) as error:
        raise ChainError(0, "the spec is not JSON", expected="JSON", found=str(error)) from error


def executions(root: Path, *, run_id: str | None = None) -> list[Execution]:
    """Every execution, or those of one run, oldest first.

    Read from the first and the last line of each segment; the rest is for `verify`.
    """
    found = (_execution(path, run_id) for path in segment_paths(root))
    return [each for each in found if each]


def status(root: Path, execution_id: str) -> Status | None:
    """How an execution stands; none if its segment is gone, or cannot be read."""
    path = segment_path(root, execution_id)
    found = _execution(path) if path.is_file() else None
    return found.status if found else None


def find(root: Path, prefix: str) -> list[Execution]:
    """The executions whose id, or whose run's id, begins so; oldest first.

    Raises:
        LedgerError: there is no ledger, or none such in it, or the prefix fits several runs.
    """
    require(root)
    require_beginning(root, prefix)
    found = [
        each
        for each in executions(root)
        if each.execution_id.startswith(prefix) or (each.start.run_id or "").startswith(prefix)
    ]
    names = {each.start.run_id or each.execution_id for each in found}
    if len(names) != 1:
        several = f"fits {', '.join(sorted(names))}; write more digits"
        unknown = "begins no run's or execution's id; `repro sql 'FROM runs'` lists what there is"
        raise LedgerError(f"{root}: {prefix!r} {several if names else unknown}")
    return found


def done_stages(
    root: Path, stage_ids: Collection[str], *, rehearsal: bool = False
) -> dict[str, DoneStage]:
    """Which of these stages are done and have all their artifacts; of each, the newest.

    Only runs count, or only rehearsals: neither takes anything from the other. A training of which
    checkpoints were removed on purpose is done with those that are left, the last among them.
    """
    gone = removed(root)
    done: dict[str, DoneStage] = {}
    for execution_id, said in _said(root, stage_ids, rehearsal=rehearsal):
        for stage in _done_in(execution_id, said, stage_ids):
            usable = _usable(root, stage, gone=_removed_of(execution_id, gone))
            if usable is not None:
                done[stage.stage_id] = usable
    return done


def removed(root: Path) -> Mapping[str, frozenset[str]]:
    """The artifacts that were removed on purpose, each with the executions that had named it.

    Their word of it does not count any more, even if the file is still there. An execution that
    names it afterwards has made it anew.
    """
    found: dict[str, frozenset[str]] = {}
    for path in segment_paths(root):
        if not _opening(path).collects:
            continue
        with suppress(ChainError):  # `broken` tells, and so does `verify`
            for record in _records_in(path, path.read_bytes()):
                if isinstance(record, Tombstone):
                    named_by = frozenset(record.facts.get("executions", ()))
                    found[record.sha256] = found.get(record.sha256, frozenset()) | named_by
    return found


def saved_training(root: Path, stage_id: str, *, rehearsal: bool = False) -> SavedTraining | None:
    """The execution of a training that another can continue furthest; of equals, the newest.

    Its checkpoints are those before the first one whose weights or state are gone. Trainings are
    never mixed: one that was resumed records the checkpoints before it once more.
    """
    gone = removed(root)
    found = [
        SavedTraining(
            execution_id=execution_id,
            checkpoints=intact,
            provenance={each.provider: each for each in said if isinstance(each, Provenance)},
        )
        for execution_id, said in _said(root, [stage_id], rehearsal=rehearsal)
        if (intact := _intact(root, said, stage_id, gone=_removed_of(execution_id, gone)))
    ]
    return max(found, key=lambda each: (each.checkpoints[-1].step, each.execution_id), default=None)


def saved_artifacts(
    root: Path, stage_id: str, *, role: str, rehearsal: bool = False
) -> SavedArtifacts | None:
    """The execution of a stage that left most files in this role; of equals, the newest.

    They are those before the first one that is gone. Those of two executions are never mixed: one
    that went on records the files before it once more.
    """
    gone = removed(root)
    found = [
        SavedArtifacts(
            execution_id=execution_id,
            artifacts=_still_there(root, mine, gone=_removed_of(execution_id, gone)),
            provenance={each.provider: each for each in said if isinstance(each, Provenance)},
        )
        for execution_id, said in _said(root, [stage_id], rehearsal=rehearsal)
        if (mine := _in_role(said, stage_id, role))
    ]
    best = max(found, key=lambda each: (len(each.artifacts), each.execution_id), default=None)
    return best if best and best.artifacts else None


def broken(root: Path, stage_ids: Collection[str]) -> list[tuple[Path, str]]:
    """The broken segments that name one of these stages, each with what broke it."""
    found = []
    for path, data in _naming(root, stage_ids):
        try:
            _records_in(path, data)
        except ChainError as error:
            found.append((path, str(error)))
    return found


def status_of(path: Path, start: Start, seal: Seal | None) -> Status:
    """How the execution of a segment ended; without a seal, as far as this machine can know.

    Of its own processes it knows which live. An execution elsewhere is open as long as its
    heartbeat touches the segment, and interrupted `lease.LEASE_S` seconds later.
    """
    if seal is not None:
        return seal.outcome
    process = Process(
        host=start.host,
        pid=start.pid,
        boot_id=start.boot_id,
        process_start=start.process_start,
        pid_namespace=start.pid_namespace,
    )
    if machine.is_here(process):
        return "running" if machine.alive(process) else "interrupted"
    return "interrupted" if left_behind(path.parents[1], path) else "open"


def _hold_to_seal(line: Line, root: str) -> None:
    expected = f"{line.seq} records, sha256:{root}"
    found = f"{line.data.get('num_records')} records, {line.data.get('merkle_root')}"
    if found != expected:
        problem = "the seal does not fit its records"
        raise ChainError(line.seq, problem, expected=expected, found=found)


def last_line(path: Path) -> bytes:
    """The last whole line without its newline; seals are short, so mostly the tail is enough."""
    with path.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(0, size_bytes - _TAIL_BYTES))
        whole = file.read().rpartition(b"\n")[0]
        if b"\n" not in whole:
            file.seek(0)
            whole = file.read().rpartition(b"\n")[0]
    return whole.rpartition(b"\n")[2]


def _execution(path: Path, run_id: str | None = None) -> Execution | None:
    """What the first and the last line say; none if they cannot be read, or of another run."""
    with path.open("rb") as file:
        raw = file.readline()
    if run_id is not None and run_id.encode() not in raw:
        return None
    try:
        first = parse(raw.removesuffix(b"\n"), record=0)
        start = decoded(first)
        last = parse(last_line(path), record=0)
        end = decoded(last)
    except ChainError:
        return None
    if run_id is not None and getattr(start, "run_id", None) != run_id:
        return None
    if not isinstance(start, Start):
        return None
    seal = end if isinstance(end, Seal) else None
    return Execution(
        execution_id=path.stem,
        start=start,
        started_at=first.time,
        seal=seal,
        ended_at=last.time if seal else None,
        status=status_of(path, start, seal),
    )


def _naming(root: Path, stage_ids: Collection[str]) -> Iterator[tuple[Path, bytes]]:
    """The segments that name one of these stages, and their bytes; oldest first."""
    for path in segment_paths(root):
        if not _opening(path).planned.isdisjoint(stage_ids):
            yield path, path.read_bytes()


@frozen(kw_only=True)
class _Opening:
    """What the first line of a segment says: the stages that it plans, and if it collects."""

    planned: frozenset[str]
    collects: bool


def _opening(path: Path) -> _Opening:
    """Read once by a process: a ledger has many segments, and a command many questions."""
    status = path.stat()
    return _read_opening(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(_MAX_KNOWN)
def _read_opening(path: Path, *_version: int) -> _Opening:
    with path.open("rb") as file:
        raw = file.readline()
    planned = frozenset(each.decode(errors="replace") for each in _STAGE_ID.findall(raw))
    return _Opening(planned=planned, collects=b'"purpose":"gc"' in raw)


def _records_in(path: Path, data: bytes) -> list[Record]:
    """The records of a whole segment, but progress.

    Raises:
        ChainError: the segment is broken.
    """
    lines = list(lines_of(data, execution_id=path.stem))
    found = [decoded(line) for line in lines if line.kind != Progress.kind]
    return [record for record in found if record is not None]


def _said(
    root: Path, stage_ids: Collection[str], *, rehearsal: bool
) -> Iterator[tuple[str, list[Record]]]:
    """The records of each unbroken run, or rehearsal, that names one of these stages."""
    purpose = "rehearsal" if rehearsal else "run"
    for path, data in _naming(root, stage_ids):
        try:
            said = _records_in(path, data)
        except ChainError:
            continue  # `broken` tells
        if said and isinstance(said[0], Start) and said[0].purpose == purpose:
            yield path.stem, said


def _done_in(
    execution_id: str, said: list[Record], stage_ids: Collection[str]
) -> Iterator[DoneStage]:
    for event in said:
        if isinstance(event, StageEvent) and event.event == "done" and event.stage_id in stage_ids:
            yield gathered(execution_id, event, said)


def _removed_of(execution_id: str, gone: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The artifacts that an execution named, and that were removed on purpose."""
    return frozenset(sha256 for sha256, named_by in gone.items() if execution_id in named_by)


def _intact(
    root: Path, said: list[Record], stage_id: str, *, gone: frozenset[str]
) -> tuple[Checkpoint, ...]:
    by_step = {
        each.step: each
        for each in said
        if isinstance(each, Checkpoint) and each.stage_id == stage_id
    }
    return tuple(
        takewhile(
            lambda each: (
                each.state is not None
                and _there(root, each.weights, each.state)
                and gone.isdisjoint((each.weights, each.state))
            ),
            (by_step[step] for step in sorted(by_step)),
        )
    )


def _in_role(said: list[Record], stage_id: str, role: str) -> list[Artifact]:
    """The files of a stage in one role, in order of their names."""
    named = [each for each in said if isinstance(each, Artifact) and each.stage_id == stage_id]
    mine = {each.name: each for each in named if each.role == role}
    return [mine[name] for name in sorted(mine)]


def _still_there(
    root: Path, artifacts: list[Artifact], *, gone: frozenset[str]
) -> tuple[Artifact, ...]:
    """The files before the first one that is gone."""
    return tuple(
        takewhile(lambda each: each.sha256 not in gone and _there(root, each.sha256), artifacts)
    )


def gathered(execution_id: str, event: StageEvent, said: list[Record]) -> DoneStage:
    """A finished stage, from its last event and the records of its execution."""
    mine = [each for each in said if getattr(each, "stage_id", None) == event.stage_id]
    return DoneStage(
        stage_id=event.stage_id,
        execution_id=execution_id,
        event=event,
        artifacts=tuple(each for each in mine if isinstance(each, Artifact)),
        checkpoints=tuple(each for each in mine if isinstance(each, Checkpoint)),
        measurements=tuple(each for each in mine if isinstance(each, Measurement)),
    )


def _usable(root: Path, stage: DoneStage, *, gone: frozenset[str]) -> DoneStage | None:
    """The stage with the checkpoints that are left; none if it lacks anything else."""
    last = max(stage.checkpoints, key=lambda each: each.step, default=None)
    spare = {each for one in stage.checkpoints for each in (one.weights, one.state)}
    spare -= {last.weights} if last else set()
    named = {each.sha256 for each in stage.artifacts} | {each.weights for each in stage.checkpoints}
    lacking = (named & gone) | {each for each in named if not _there(root, each)}
    if not lacking <= gone & spare:
        return None
    left = (each for each in stage.checkpoints if each.weights not in lacking)
    return evolve(stage, checkpoints=tuple(left))


def _there(root: Path, *digests: str | None) -> bool:
    return all(store.path_of(root, each).is_file() for each in digests if each is not None)
