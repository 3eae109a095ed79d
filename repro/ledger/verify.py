"""Read everything again and name the first broken link of every segment, artifact and table.

Four comparisons: each segment with itself (chain, seal, possible records), each artifact with its
digest, the database, as it is found, with the segments, and the seals with the heads that were
taken of them. One execution is verified with all that it rests on: the stages that it reused, in
the executions that did them. An artifact that was removed on purpose has a tombstone, and is
counted, not missed.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from attrs import field, frozen

from repro import digest
from repro.errors import LedgerError
from repro.ledger import history, store
from repro.ledger.against import against, against_kept
from repro.ledger.chain import ChainError, Line
from repro.ledger.comparison import Comparison, beside
from repro.ledger.findings import Finding
from repro.ledger.records import (
    Artifact,
    Checkpoint,
    Measurement,
    Record,
    StageEvent,
    Start,
    Tombstone,
)

_NO_FILE = "no file"


@frozen(kw_only=True)
class Verified:
    """What was read again, and what is not as it was recorded.

    `executions` are those that were asked for and those that they rest on; `num_removed` counts the
    artifacts that have a tombstone in place of a file.
    """

    findings: tuple[Finding, ...]
    executions: tuple[str, ...]
    num_records: int
    num_artifacts: int
    num_removed: int


@frozen(kw_only=True)
class _Named:
    """An artifact, and the record that named it."""

    sha256: str
    stage_id: str | None
    seq: int


@frozen(kw_only=True)
class _Segment:
    """A segment up to its first break: what it names and what it rests on.

    `inputs` are its planned stages, each with those that it builds on; `reused` are stages that
    another execution did, each with that execution. `removed` are artifacts with a tombstone here,
    each with the executions that had named it.
    """

    named: list[_Named] = field(factory=list)
    inputs: dict[str, tuple[str, ...]] = field(factory=dict)
    reused: dict[str, str] = field(factory=dict)
    removed: list[tuple[str, tuple[str, ...]]] = field(factory=list)


def verify(root: Path, execution_id: str | None = None) -> list[Finding]:
    """Every finding, about the whole ledger or about one execution and what it rests on.

    Raises:
        LedgerError: as `examine`.
    """
    return list(examine(root, execution_id).findings)


def verify_records(root: Path, execution_ids: Collection[str]) -> list[Finding]:
    """Every finding about the records of some executions, and of those whose work they reused.

    Segments are read, and their rows in the database; artifacts are not.

    Raises:
        LedgerError: there is no ledger here.
    """
    history.require(root)
    with beside(root) as comparison:
        reader = _Reader(root, comparison)
        read = {*execution_ids, *reader.follow(execution_ids)}
        for name in sorted(read):
            reader.segment(name)
        return [*reader.findings, *comparison.findings(read)]


def examine(
    root: Path, execution_id: str | None = None, *, head: str | None = None, key: Path | None = None
) -> Verified:
    """Every finding, and what was read to come to it.

    `execution_id` may also be a run's, which stands for all its executions, and may be cut short.
    `head` is one that was taken earlier, as `against` takes it, and `key` who must have signed it.

    Raises:
        LedgerError: there is no ledger here, nothing in it has such an id, or the head is none.
        IntegrityError: the head is not signed by the key.
    """
    history.require(root)
    of_heads = [] if head is None else against(root, head, key=key)
    with beside(root) as comparison:
        chosen = _chosen(root, comparison, execution_id)
        reader = _Reader(root, comparison)
        whole = reader.names if chosen is None else chosen
        rests_on = reader.follow(whole)
        read = whole | rests_on.keys()
        named = {
            each.sha256: (name, each.seq)
            for name in sorted(read)
            for each in reader.segment(name).named
            if name in whole or each.stage_id in rests_on[name]
        }
        artifacts = sorted(named.keys() | (_stored(root) if chosen is None else set()))
        of_artifacts = {each: _of_artifact(root, each, named.get(each)) for each in artifacts}
        gone = {
            sha256: named[sha256][0] if sha256 in named else None
            for sha256, each in of_artifacts.items()
            if each and each.found == _NO_FILE
        }
        removed = reader.removed(gone)
        findings = reader.findings
        findings += comparison.findings(None if chosen is None else chosen | rests_on.keys())
    if chosen is None:
        of_heads += against_kept(root)
    broken = {each.file for each in findings}
    findings += [each for each in of_heads if each.file not in broken]
    findings += [each for sha256, each in of_artifacts.items() if each and sha256 not in removed]
    return Verified(
        findings=tuple(findings),
        executions=tuple(sorted(read)),
        num_records=reader.num_records,
        num_artifacts=len(artifacts) - len(removed),
        num_removed=len(removed),
    )


def _chosen(root: Path, comparison: Comparison, beginning: str | None) -> set[str] | None:
    """The executions asked for, also those that only the database remembers; none for all."""
    if beginning is None:
        return None
    history.require_beginning(root, beginning)
    found = comparison.executions_of(beginning)
    found |= {path.stem for path in history.segment_paths(root) if path.stem.startswith(beginning)}
    found |= {
        each.execution_id
        for each in history.executions(root)
        if each.start.run_id is not None and each.start.run_id.startswith(beginning)
    }
    if not found:
        raise LedgerError(f"{root}: no run and no execution has an id that begins {beginning!r}")
    return found


class _Reader:
    """The segments, each read once, with the findings about them."""

    def __init__(self, root: Path, comparison: Comparison) -> None:
        self.findings: list[Finding] = []
        self.num_records = 0
        self._root = root
        self._paths = {path.stem: path for path in history.segment_paths(root)}
        self._comparison = comparison
        self._read: dict[str, _Segment] = {}

    @property
    def names(self) -> set[str]:
        """The executions that have a segment."""
        return set(self._paths)

    def segment(self, name: str) -> _Segment:
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
                segment = self.segment(name)
                waiting += [(name, each) for each in segment.inputs.get(stage, ())]
                if stage in segment.reused:
                    waiting.append((segment.reused[stage], stage))
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
            for segment in self._read.values()
            for sha256, named_by in segment.removed
            if sha256 in gone and gone[sha256] in (None, *named_by)
        }

    def _taken_in(self, name: str) -> _Segment:
        segment, num_records = _Segment(), 0
        if name not in self._paths:
            return segment
        file, num_findings = f"segments/{name}.jsonl", len(self.findings)
        try:
            for line in history.read_lines(self._paths[name]):
                _take_in(segment, line, history.decoded(line))
                self._comparison.add(name, line)
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
        return segment


def _take_in(segment: _Segment, line: Line, record: Record | None) -> None:
    """Keep what a record says of artifacts and of stages.

    Raises:
        ChainError: it starts a run that it does not hold the spec of, or has a senseless plan.
    """
    match record:
        case Start():
            history.recorded_spec(record)
            segment.inputs.update(_plan(record))
        case StageEvent(event="reused", stage_id=stage_id, facts=facts):
            segment.reused[stage_id] = str(facts.get("execution_id"))
        case Artifact() | Checkpoint() | Measurement():
            segment.named.extend(
                _Named(sha256=sha256, stage_id=record.stage_id, seq=line.seq)
                for sha256 in _digests(record)
            )
        case Tombstone():
            segment.removed.append((record.sha256, tuple(record.facts.get("executions", ()))))
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


def _stored(root: Path) -> set[str]:
    return {f"sha256:{path.name}" for path in (root / "objects").glob("[0-9a-f][0-9a-f]/*")}


def _of_artifact(root: Path, sha256: str, named: tuple[str, int] | None) -> Finding | None:
    """What is wrong with an artifact; `named` is the execution and record that speak of it."""
    record = None if named is None else named[1]
    by = "by no record" if named is None else f"by {named[0]}"
    try:
        path = store.path_of(root, sha256)
    except LedgerError as error:
        text = str(error)
        return Finding(file=by, record=record, problem=text, expected="a digest", found=sha256)
    try:
        actual = digest.sha256_file(path) if path.is_file() else _NO_FILE
    except FileNotFoundError:  # removed just now, perhaps on purpose
        actual = _NO_FILE
    except OSError as error:
        actual = f"a file that cannot be read ({error.strerror})"
    if actual == sha256:
        return None
    return Finding(
        file=path.relative_to(root).as_posix(),
        record=record,
        problem=f"the artifact, named {by}, is not what was stored",
        expected=sha256,
        found=actual,
    )
