"""What belongs in a bundle of runs: their executions, all that these rest on, all they led to.

An execution comes with the executions whose stages it reused, the reports that judged its numbers,
and the garbage collections that removed an artifact of it. An artifact that the runs do not need,
that was removed, or that nobody asked for is left out, and the bundle says so, with the reason.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from repro.errors import IntegrityError, LedgerError
from repro.ledger import history, store
from repro.ledger.chain import ChainError, Line
from repro.ledger.records import (
    Artifact,
    Checkpoint,
    Measurement,
    Progress,
    Record,
    Seal,
    StageEvent,
    Start,
    Tombstone,
)

_COMPANIONS = ("report", "gc")
"""The purposes of executions that come along where they speak of what is in the bundle."""


@frozen(kw_only=True)
class Recorded:
    """A record, its number and its time."""

    seq: int
    time: str
    record: Record


@frozen(kw_only=True)
class Said:
    """An execution's segment as far as it goes now, and its records but progress."""

    execution_id: str
    size_bytes: int
    start: Start
    recorded: tuple[Recorded, ...] = field(repr=False)

    @property
    def reused(self) -> dict[str, str]:
        """The stages that another execution did, each with that execution."""
        return {
            each.record.stage_id: str(each.record.facts.get("execution_id"))
            for each in self.recorded
            if isinstance(each.record, StageEvent) and each.record.event == "reused"
        }

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Its planned stages, each with those that it builds on."""
        return {
            str(each.get("stage_id")): tuple(each.get("inputs", ())) for each in self.start.stages
        }

    @property
    def seal(self) -> Seal | None:
        """How it ended; none as long as it has not."""
        last = self.recorded[-1].record
        return last if isinstance(last, Seal) else None

    @property
    def named(self) -> Iterator["Named"]:
        """Every artifact that a record names; the same one may come several times."""
        for each in self.recorded:
            yield from _named(each.record)


@frozen(kw_only=True)
class Named:
    """An artifact as a record names it."""

    sha256: str
    role: str
    name: str
    stage_id: str | None
    media_type: str = ""


@frozen(kw_only=True)
class Content:
    """What a bundle holds: segments, artifacts, and why others are not there.

    `chosen` are the executions that were asked for; the other segments are there for them.
    """

    chosen: tuple[str, ...]
    segments: Mapping[str, Said]
    artifacts: Mapping[str, Named]
    left_out: Mapping[str, str]


def gather(root: Path, beginnings: Sequence[str], *, leave_out: Collection[str] = ()) -> Content:
    """Everything that the runs or executions whose ids begin so need to be checked.

    Artifacts in one of the roles of *leave_out* stay behind.

    Raises:
        LedgerError: there is no ledger, or nothing, or more than one run, has such an id, or no
            artifact such a role.
        IntegrityError: a segment is broken, or an artifact is gone and no tombstone says why.
    """
    chosen = {each.execution_id for text in beginnings for each in history.find(root, text)}
    segments = {name: _read(root, name) for name in sorted(chosen)}
    needed = _needed(segments, _follow(root, segments), chosen=chosen)
    missing = {each for each in needed if not store.path_of(root, each).is_file()}
    segments |= _companions(root, segments, speaking_of=chosen | missing)
    left_out = {each: _removed(root, segments, each) for each in sorted(missing)}
    named = [each for said in segments.values() for each in said.named]
    _require_roles(root, leave_out, known={each.role for each in named})
    for each in named:
        if each.sha256 not in needed:
            left_out[each.sha256] = "of a stage that these runs do not use"
        elif each.role in leave_out:
            left_out.setdefault(each.sha256, f"{each.role} was not asked for")
    return Content(
        chosen=tuple(sorted(chosen)),
        segments=dict(sorted(segments.items())),
        artifacts={each: needed[each] for each in sorted(needed.keys() - left_out.keys())},
        left_out=dict(sorted(left_out.items())),
    )


def _needed(
    segments: Mapping[str, Said], used: Mapping[str, set[str]], *, chosen: Collection[str]
) -> dict[str, Named]:
    """The artifacts of the chosen executions, and those of the used stages of the others."""
    needed: dict[str, Named] = {}
    for name, said in segments.items():
        for each in said.named:
            if name in chosen or each.stage_id is None or each.stage_id in used[name]:
                needed.setdefault(each.sha256, each)
    return needed


def _require_roles(root: Path, wanted: Collection[str], *, known: Collection[str]) -> None:
    """Refuse a role that no artifact has.

    Raises:
        LedgerError: there is one.
    """
    if unknown := set(wanted) - set(known):
        raise LedgerError(
            f"{root}: no artifact here has the role {', '.join(sorted(unknown))};"
            f" expected one of: {', '.join(sorted(known))}"
        )


def _follow(root: Path, segments: dict[str, Said]) -> dict[str, set[str]]:
    """The stages that the executions rest on, by who did or reused each; adds who is missing."""
    used: dict[str, set[str]] = {}
    waiting = [(name, stage_id) for name, said in segments.items() for stage_id in said.inputs]
    while waiting:
        name, stage_id = waiting.pop()
        if stage_id in used.setdefault(name, set()):
            continue
        used[name].add(stage_id)
        said = segments[name] = segments.get(name) or _read(root, name)
        waiting += [(name, each) for each in said.inputs.get(stage_id, ())]
        if stage_id in said.reused:
            waiting.append((said.reused[stage_id], stage_id))
    return used


def _companions(
    root: Path, segments: Mapping[str, Said], *, speaking_of: Collection[str]
) -> dict[str, Said]:
    """The reports and collections, but broken ones, that name one of these ids or digests."""
    found = {}
    for path in history.segment_paths(root):
        data = b"" if path.stem in segments else path.read_bytes()
        if not any(each.encode() in data for each in speaking_of):
            continue
        try:
            said = _said(path.stem, data)
        except ChainError:
            continue
        if said.start.purpose in _COMPANIONS:
            found[path.stem] = said
    return found


def _removed(root: Path, segments: Mapping[str, Said], sha256: str) -> str:
    """Why an artifact is gone.

    Raises:
        IntegrityError: nobody removed it on purpose.
    """
    for said in segments.values():
        for each in said.recorded:
            if isinstance(each.record, Tombstone) and each.record.sha256 == sha256:
                return f"removed: {each.record.reason}"
    path = store.path_of(root, sha256)
    raise IntegrityError(f"{path}: artifact is missing; run again to make it anew, then bundle")


def _read(root: Path, execution_id: str) -> Said:
    """A segment up to its last whole line.

    Raises:
        LedgerError: it is missing.
        IntegrityError: it is broken.
    """
    path = history.segment_path(root, execution_id)
    try:
        return _said(execution_id, path.read_bytes())
    except OSError as error:
        raise LedgerError(f"{path}: cannot be read: {error.strerror}") from error
    except ChainError as error:
        raise IntegrityError(f"{path}: {error}; nothing can be proved with it") from error


def _said(execution_id: str, data: bytes) -> Said:
    lines = [
        (line, history.decoded(line))
        for line in history.lines_of(data, execution_id=execution_id)
        if line.kind != Progress.kind
    ]
    start = lines[0][1] if lines else None
    if not isinstance(start, Start):
        raise ChainError(0, "is not a start", expected=Start.kind, found="nothing")
    history.recorded_spec(start)
    return Said(
        execution_id=execution_id,
        size_bytes=data.rfind(b"\n") + 1,
        start=start,
        recorded=tuple(_recorded(line, record) for line, record in lines if record is not None),
    )


def _recorded(line: Line, record: Record) -> Recorded:
    return Recorded(seq=line.seq, time=line.time, record=record)


def _named(record: Any) -> Iterator[Named]:
    match record:
        case Artifact():
            yield Named(
                sha256=record.sha256,
                role=record.role,
                name=record.name,
                stage_id=record.stage_id,
                media_type=record.media_type,
            )
        case Checkpoint():
            name, stage_id = f"step {record.step}", record.stage_id
            yield Named(sha256=record.weights, role="weights", name=name, stage_id=stage_id)
            if record.state is not None:
                yield Named(sha256=record.state, role="state", name=name, stage_id=stage_id)
        case Measurement():
            for role in ("samples", "features", "influence", "reference"):
                sha256 = getattr(record, role)
                if sha256 is not None:
                    name, stage_id = record.evaluation, record.stage_id
                    yield Named(sha256=sha256, role=role, name=name, stage_id=stage_id)
        case _:
            pass
