"""The segments, each read once along its chain, and what `verify` must know of each.

A ledger of many records is read by several processes at once, each with a share of the segments and
the database beside it: to follow a chain is Python's work, and Python works on one core.
"""

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from attrs import field, frozen

from repro.ledger import history
from repro.ledger.chain import ChainError, Line
from repro.ledger.comparison import Comparison, beside
from repro.ledger.findings import Finding
from repro.ledger.records import (
    Artifact,
    Checkpoint,
    Measurement,
    Progress,
    Record,
    StageEvent,
    Start,
    Tombstone,
    is_plain_progress,
)

SHARE_BYTES = 16 << 20
"""Of segments: what a process of its own is worth its start for."""


@frozen(kw_only=True)
class Named:
    """An artifact, and the record that named it."""

    sha256: str
    stage_id: str | None
    seq: int


@frozen(kw_only=True)
class Told:
    """What a segment says up to its first break: what it names and what it rests on.

    `inputs` are its planned stages, each with those that it builds on; `reused` are stages that
    another execution did, each with that execution. `removed` are artifacts with a tombstone here,
    each with the executions that had named it.
    """

    named: list[Named] = field(factory=list)
    inputs: dict[str, tuple[str, ...]] = field(factory=dict)
    reused: dict[str, str] = field(factory=dict)
    removed: list[tuple[str, tuple[str, ...]]] = field(factory=list)


class Reader:
    """The segments, each read once, with the findings about them."""

    def __init__(self, root: Path, comparison: Comparison) -> None:
        self.findings: list[Finding] = []
        self.num_records = 0
        self._root = root
        self._paths = {path.stem: path for path in history.segment_paths(root)}
        self._comparison = comparison
        self._read: dict[str, Told] = {}

    @property
    def names(self) -> set[str]:
        """The executions that have a segment."""
        return set(self._paths)

    def take_in(self, shares: Iterable["Share"]) -> None:
        """Know what other processes read.

        What a process read that was killed, for want of memory perhaps, this one will read.
        """
        with suppress(BrokenProcessPool):
            for share in shares:
                self._read |= share.told
                self.findings += share.findings
                self.num_records += share.num_records
                self._comparison.compared_elsewhere(share.told)
        self.findings.sort(key=lambda each: each.file)

    def segment(self, name: str) -> Told:
        """What an execution says; nothing if its segment is gone, which the comparison tells."""
        if name not in self._read:
            self._read[name] = self._taken_in(name)
        return self._read[name]

    def follow(self, names: Iterable[str]) -> Mapping[str, set[str]]:
        """The stages that these executions rest on, by the execution that did or reused each."""
        found: dict[str, set[str]] = {}
        waiting = [(name, stage) for name in sorted(names) for stage in self.segment(name).inputs]
        while waiting:
            name, stage = waiting.pop()
            if stage not in found.setdefault(name, set()):
                found[name].add(stage)
                told = self.segment(name)
                waiting += [(name, each) for each in told.inputs.get(stage, ())]
                if stage in told.reused:
                    waiting.append((told.reused[stage], stage))
        return found

    def removed(self, gone: Mapping[str, str | None]) -> set[str]:
        """Those of these artifacts that have a tombstone, also one of a moment ago.

        It must cover the execution that named the artifact last: what was made anew counts.
        """
        if not gone:
            return set()
        self._paths |= {path.stem: path for path in history.segment_paths(self._root)}
        for each in history.executions(self._root):
            if each.start.purpose == "gc":
                self.segment(each.execution_id)
        return {
            sha256
            for told in self._read.values()
            for sha256, named_by in told.removed
            if sha256 in gone and gone[sha256] in (None, *named_by)
        }

    def _taken_in(self, name: str) -> Told:
        told, num_records = Told(), 0
        if name not in self._paths:
            return told
        file, num_findings = f"segments/{name}.jsonl", len(self.findings)
        compare = self._comparison.lines_of(name)
        try:
            for line in history.read_lines(self._paths[name]):
                if line.kind != Progress.kind or not is_plain_progress(line.data):
                    _take_in(told, line, history.decoded(line))
                compare(line)
                num_records += 1
        except ChainError as error:
            self.findings.append(_of_chain(file, error))
        except OSError as error:
            problem, found = "the segment cannot be read", str(error.strerror)
            self.findings.append(
                Finding(file=file, problem=problem, expected="a file", found=found)
            )
        self.num_records += num_records
        whole = len(self.findings) == num_findings
        self.findings += self._comparison.end(name, num_records, whole=whole)
        return told


@frozen(kw_only=True)
class Share:
    """What one process read."""

    told: dict[str, Told]
    findings: list[Finding]
    num_records: int


@contextmanager
def read_apart(root: Path, num_processes: int) -> Iterator[Iterable[Share]]:
    """Let other processes read every segment, if there is enough to read; they begin at once."""
    shares = _shares(history.segment_paths(root), num_processes)
    if not shares[1:]:
        yield ()
        return
    with ProcessPoolExecutor(len(shares), mp_context=get_context(_start())) as processes:
        yield processes.map(_read_share, [root] * len(shares), shares)


def _start() -> Literal["fork", "spawn"]:
    """A copy of this process starts a tenth of a second sooner, and is safe where no thread runs.

    Elsewhere another thread may hold a lock that the copy would wait for without end.
    """
    with suppress(OSError):
        if len(list(Path("/proc/self/task").iterdir())) == 1:
            return "fork"
    return "spawn"


def _shares(paths: Sequence[Path], num_processes: int) -> list[list[str]]:
    """Names of segments, in as many parts of about equal size as are worth a process."""
    sizes = {path.stem: path.stat().st_size for path in paths}
    count = min(num_processes, len(sizes), sum(sizes.values()) // SHARE_BYTES)
    shares: list[list[str]] = [[] for _ in range(count)]
    filled = [0] * count
    for name in sorted(sizes, key=lambda each: (-sizes[each], each)) if count else ():
        least = filled.index(min(filled))
        shares[least].append(name)
        filled[least] += sizes[name]
    return shares


def _read_share(root: Path, names: Sequence[str]) -> Share:
    gc.disable()  # this process lives for one share, and makes no cycles: nothing to look for
    with beside(root) as comparison:
        reader = Reader(root, comparison)
        told = {name: reader.segment(name) for name in sorted(names)}
        findings = [*reader.findings, *comparison.differing_rows()]
    return Share(told=told, findings=findings, num_records=reader.num_records)


def _take_in(told: Told, line: Line, record: Record | None) -> None:
    """Keep what a record says of artifacts and of stages.

    Raises:
        ChainError: it starts a run that it does not hold the spec of, or has a senseless plan.
    """
    match record:
        case Start():
            history.recorded_spec(record)
            told.inputs.update(_plan(record))
        case StageEvent(event="reused", stage_id=stage_id, facts=facts):
            told.reused[stage_id] = str(facts.get("execution_id"))
        case Artifact() | Checkpoint() | Measurement():
            told.named.extend(
                Named(sha256=sha256, stage_id=record.stage_id, seq=line.seq)
                for sha256 in _digests(record)
            )
        case Tombstone():
            told.removed.append((record.sha256, tuple(record.facts.get("executions", ()))))
        case _:
            pass


def _plan(start: Start) -> dict[str, tuple[str, ...]]:
    try:
        return {str(each["stage_id"]): tuple(map(str, each["inputs"])) for each in start.stages}
    except (KeyError, TypeError) as error:
        problem = "is not a possible plan"
        expected = "stages with stage_id and inputs"
        raise ChainError(0, problem, expected=expected, found=repr(error)) from error


def _digests(record: Artifact | Checkpoint | Measurement) -> list[str]:
    """The artifacts that a record names."""
    named: list[str | None]
    match record:
        case Artifact():
            named = [record.sha256]
        case Checkpoint():
            named = [record.weights, record.state]
        case Measurement():
            named = [record.samples, record.features, record.influence, record.reference]
    return [each for each in named if each is not None]


def _of_chain(file: str, broken: ChainError) -> Finding:
    return Finding(
        file=file,
        record=broken.record,
        problem=broken.problem,
        expected=broken.expected,
        found=broken.found,
    )
