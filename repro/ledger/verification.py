"""Read everything again and name the first broken link of every segment, artifact and table.

Four comparisons: each segment with itself (chain, seal, possible records), each artifact with its
digest, the database, as it is found, with the segments, and the seals with the heads that were
taken of them. One execution is verified with all that it rests on: the stages that it reused, in
the executions that did them. An artifact that was removed on purpose has a tombstone, and is
counted, not missed.
"""

from collections.abc import Collection
from pathlib import Path

from attrs import frozen

from repro import digest
from repro.errors import LedgerError
from repro.ledger import history, store
from repro.ledger.against import against, against_kept
from repro.ledger.comparison import Comparison, beside
from repro.ledger.findings import Finding
from repro.ledger.reading import Reader, read_apart

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
        reader = Reader(root, comparison)
        read = {*execution_ids, *reader.follow(execution_ids)}
        for name in sorted(read):
            reader.segment(name)
        return [*reader.findings, *comparison.findings(read)]


def examine(
    root: Path,
    execution_id: str | None = None,
    *,
    head: str | None = None,
    key: Path | None = None,
    num_processes: int = 1,
) -> Verified:
    """Every finding, and what was read to come to it.

    `execution_id` may also be a run's, which stands for all its executions, and may be cut short.
    `head` is one that was taken earlier, as `against` takes it, and `key` who must have signed it.
    A whole ledger that is large is read by so many processes. Where this one has threads, they
    import the main program again.

    Raises:
        LedgerError: there is no ledger here, nothing in it has such an id, or the head is none.
        IntegrityError: the head is not signed by the key.
    """
    history.require(root)
    of_heads = [] if head is None else against(root, head, key=key)
    apart = num_processes if execution_id is None else 1
    with read_apart(root, apart) as shares, beside(root) as comparison:
        chosen = _chosen(root, comparison, execution_id)
        reader = Reader(root, comparison)
        reader.take_in(shares)
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
