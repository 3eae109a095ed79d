"""Read everything again and name the first broken link of every segment, artifact and table.

Three comparisons: each segment with itself (chain, seal, possible records), each artifact with its
digest, and the database, as it is found, with the segments.
"""

from pathlib import Path

from attrs import field, frozen

from repro import digest
from repro.errors import LedgerError
from repro.ledger import history, store
from repro.ledger.chain import ChainError, Line
from repro.ledger.comparison import Comparison, beside
from repro.ledger.findings import Finding
from repro.ledger.records import Artifact, Checkpoint


@frozen(kw_only=True)
class _Segment:
    """A segment up to its first break: its lines, and the record that named each artifact."""

    path: Path
    lines: list[Line] = field(factory=list)
    artifacts: dict[str, int] = field(factory=dict)
    broken: ChainError | None = None


def verify(root: Path, execution_id: str | None = None) -> list[Finding]:
    """Every finding, about the whole ledger or about one execution.

    `execution_id` may also be a run's, which stands for all its executions, and may be cut short.

    Raises:
        LedgerError: there is no ledger here, or nothing in it has such an id.
    """
    if not (root / "segments").is_dir():
        raise LedgerError(f"{root}: no ledger here; run a spec first, or name its folder")
    named: dict[str, tuple[str, int]] = {}
    findings: list[Finding] = []
    with beside(root) as comparison:
        chosen = _chosen(root, comparison, execution_id)
        for path in history.segment_paths(root):
            if chosen is None or path.stem in chosen:
                segment = _read(path)
                named |= {each: (path.stem, seq) for each, seq in segment.artifacts.items()}
                findings += _of_chain(segment)
                findings += comparison.add(path.stem, segment.lines, whole=segment.broken is None)
        findings += comparison.findings(chosen)
    stored = _stored(root) if chosen is None else set()
    return findings + [
        finding
        for sha256 in sorted(stored | set(named))
        for finding in _of_artifact(root, sha256, named.get(sha256))
    ]


def _chosen(root: Path, comparison: Comparison, beginning: str | None) -> set[str] | None:
    """The executions asked for, also those that only the database remembers; none for all."""
    if beginning is None:
        return None
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


def _read(path: Path) -> _Segment:
    lines: list[Line] = []
    artifacts: dict[str, int] = {}
    try:
        for line in history.read_lines(path):
            _hold_to_spec(line)
            artifacts |= dict.fromkeys(_digests(line), line.seq)
            lines.append(line)
    except ChainError as error:
        return _Segment(path=path, lines=lines, artifacts=artifacts, broken=error)
    return _Segment(path=path, lines=lines, artifacts=artifacts)


def _hold_to_spec(line: Line) -> None:
    """Hold a run's id against the spec that it is the digest of.

    Raises:
        ChainError: it is the digest of something else.
    """
    spec, run_id = line.data.get("canonical_spec"), line.data.get("run_id")
    if line.kind == "start" and isinstance(spec, str) and digest.xxh3_128(spec.encode()) != run_id:
        problem = "the run's id is not the digest of its spec"
        actual = digest.xxh3_128(spec.encode())
        raise ChainError(line.seq, problem, expected=actual, found=str(run_id))


def _digests(line: Line) -> list[str]:
    """The artifacts that a record names.

    Raises:
        ChainError: it is no possible record.
    """
    match history.decoded(line):
        case Artifact(sha256=sha256):
            return [sha256]
        case Checkpoint(weights=weights, state=state):
            return [weights] if state is None else [weights, state]
        case _:
            return []


def _of_chain(segment: _Segment) -> list[Finding]:
    broken = segment.broken
    if broken is None:
        return []
    return [
        Finding(
            file=f"segments/{segment.path.name}",
            record=broken.record,
            problem=broken.problem,
            expected=broken.expected,
            found=broken.found,
        )
    ]


def _stored(root: Path) -> set[str]:
    return {f"sha256:{path.name}" for path in (root / "objects").glob("[0-9a-f][0-9a-f]/*")}


def _of_artifact(root: Path, sha256: str, named: tuple[str, int] | None) -> list[Finding]:
    """What is wrong with an artifact; `named` is the execution and record that speak of it."""
    record = None if named is None else named[1]
    by = "by no record" if named is None else f"by {named[0]}"
    try:
        path = store.path_of(root, sha256)
    except LedgerError as error:
        text = str(error)
        return [Finding(file=by, record=record, problem=text, expected="a digest", found=sha256)]
    actual = store.measure(path).sha256 if path.is_file() else "no file"
    if actual == sha256:
        return []
    return [
        Finding(
            file=path.relative_to(root).as_posix(),
            record=record,
            problem=f"the artifact, named {by}, is not what was stored",
            expected=sha256,
            found=actual,
        )
    ]
