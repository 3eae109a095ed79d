"""Garbage collection: artifacts that nothing rests on are removed, and leave a tombstone.

Every removal is on record, durably, before the file goes; what the ledger says of an artifact stays
for ever. Killed at any moment, it leaves files that have a tombstone already, and the next
collection takes them. It is safe beside running writers:

- it looks twice. An execution that began before the tombstones were on record is seen by the second
  look, and what it may use stays; one that begins later reads the tombstones, and makes anew what
  it needs (`history.removed`);
- a file that was stored, or found again with the same bytes, a moment ago stays, and so does one
  that a writer touches while it is being removed (`store.remove`).

A ledger with a broken or a missing segment is not collected: nobody can tell what it rests on.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from repro.errors import IntegrityError
from repro.ledger import history, retention, segment, store
from repro.ledger.database import query
from repro.ledger.lease import lease
from repro.ledger.records import Start, Tombstone
from repro.ledger.retention import GRACE_S, YOUNG, Holding, Policy
from repro.ledger.segment import Segment

KEY = "gc"
WAIT_S = 10.0
"""For another collection: longer than it takes to tell that one was killed as it began."""


@frozen(kw_only=True)
class Leftover:
    """What a killed writer had not finished writing; no name in the store was ever its own."""

    name: str
    size_bytes: int


@frozen(kw_only=True)
class Collection:
    """What stays, and what went, or would go: `execution_id` is none if nothing was removed."""

    kept: tuple[Holding, ...]
    gone: tuple[Holding, ...]
    leftovers: tuple[Leftover, ...]
    execution_id: str | None = None

    @property
    def size_bytes(self) -> int:
        """What the removal gives back."""
        unrecorded = sum(each.size_bytes for each in self.leftovers)
        return sum(each.size_bytes for each in self.gone) + unrecorded


def collect(
    root: Path,
    policy: Policy = Policy(),  # noqa: B008 (it is frozen)
    *,
    delete: bool = False,
    command: Sequence[str] = (),
    grace_s: float = GRACE_S,
) -> Collection:
    """Find what nothing rests on, and with `delete` remove it.

    Raises:
        IntegrityError: a segment is broken or missing; nothing was removed.
        LedgerError: there is no ledger here, it cannot be written, or another collection is at it.
    """
    _require_whole(root)
    if not delete:
        return _found(root, policy, now=time.time(), grace_s=grace_s)
    with lease(root, KEY, wait_s=WAIT_S):
        store.put_back(root)
        found = _found(root, policy, now=time.time(), grace_s=grace_s)
        if not found.gone and not found.leftovers:
            return found
        with segment.begin(root, Start(purpose="gc", command=tuple(command))) as execution:
            return _removed(root, execution, found, policy, grace_s=grace_s)


def _require_whole(root: Path) -> None:
    """Refuse a ledger that has lost a segment; broken ones are refused when they are read."""
    history.require(root)
    known = {str(row[0]) for row in query(root, "SELECT execution_id FROM segments").rows}
    there = {path.stem for path in history.segment_paths(root)}  # later: new ones begin meanwhile
    if missing := sorted(known - there):
        raise IntegrityError(
            *(
                f"{root}/segments/{name}.jsonl: the segment is missing, so nobody can tell what it"
                " rests on; nothing is removed; put it back from a copy"
                for name in missing
            )
        )


def _found(root: Path, policy: Policy, *, now: float, grace_s: float) -> Collection:
    every = retention.holdings(root, policy, now=now, grace_s=grace_s)
    return Collection(
        kept=tuple(each for each in every if each.kept),
        gone=tuple(each for each in every if not each.kept),
        leftovers=_leftovers(root, before=now - grace_s),
    )


def _leftovers(root: Path, *, before: float) -> tuple[Leftover, ...]:
    found = []
    for path in sorted((root / "objects").glob("*.part")):
        try:
            status = path.stat()
        except FileNotFoundError:  # its writer has just finished
            continue
        if status.st_mtime <= before:
            found.append(Leftover(name=path.name, size_bytes=status.st_size))
    return tuple(found)


def _removed(
    root: Path, execution: Segment, found: Collection, policy: Policy, *, grace_s: float
) -> Collection:
    """Say what goes, look again, remove what may still go."""
    _record(execution, found.gone, history.removed(root))
    written = history.segment_path(root, execution.execution_id)
    now = written.stat().st_mtime  # by the clock of the file system
    again = _found(root, policy, now=now, grace_s=grace_s)
    announced = {each.sha256 for each in found.gone}
    kept, gone = list(again.kept), list[Holding]()
    for each in again.gone:
        if each.sha256 in announced and store.remove(root, each.sha256, touched_ns=each.touched_ns):
            gone.append(each)
        else:
            kept.append(evolve(each, kept=True, why=YOUNG))
    for leftover in again.leftovers:
        (root / "objects" / leftover.name).unlink(missing_ok=True)
    return Collection(
        kept=tuple(kept),
        gone=tuple(gone),
        leftovers=again.leftovers,
        execution_id=execution.execution_id,
    )


def _record(
    execution: Segment, gone: Sequence[Holding], removed: Mapping[str, frozenset[str]]
) -> None:
    """A tombstone for each, durably, but for those that a killed collection has left one for."""
    execution.append_all(
        [
            Tombstone(
                sha256=each.sha256,
                size_bytes=each.size_bytes,
                reason=each.why,
                facts={
                    "roles": list(each.roles),
                    "names": list(each.names),
                    "study": each.study,
                    "executions": list(each.executions),
                },
            )
            for each in gone
            if each.sha256 not in removed or not removed[each.sha256] >= set(each.executions)
        ]
    )
