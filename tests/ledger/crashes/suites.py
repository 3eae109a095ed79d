"""Kill, look, go on: what must hold after a kill at any moment.

What was acknowledged is there, once; every file under a digest's name has that digest; the very
next command works, without repair; and `verify`, the fold and SQL tell one story.
"""

import os
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from repro.errors import ReproError
from repro.ledger import fold, history, query, schema, store, verify
from repro.ledger.chain import ChainError, Line
from repro.ledger.records import Decision, Progress
from tests.ledger.crashes.nursery import Life, Nursery
from tests.ledger.crashes.victims import VICTIMS
from tests.ledger.ledgers import execute

LONGEST_S = 0.12
"""Victims are killed before they are so old: long enough for several executions of each."""

_PER_LEDGER = 10
_MANY_ROWS = ("progress", "imported")  # kinds with a row for each number of a record
_RECORDS = " UNION ALL ".join(
    f"SELECT {'DISTINCT' if kind in _MANY_ROWS else ''} '{kind}', execution_id, seq FROM {table}"
    for kind, table in schema.TABLES.items()
)

# What failed and why, and what to do.
_CLEAR = re.compile(r"/\S+: .+; free space or fix access, then run again")


@frozen(kw_only=True)
class Tally:
    """How many moments were tried, what was acknowledged before them, and what was wrong after."""

    moments: int
    acknowledged: int
    wrong: list[str]
    elapsed_s: float


def killed_writers(folder: Path, *, moments: int, writers: int, seed: int = 0) -> Tally:
    """Writers killed at random moments."""
    return _killed_often(folder, "write", range(writers), moments=moments, seed=seed)


def killed_stores(folder: Path, *, moments: int, seed: int = 0) -> Tally:
    """Three writers of artifacts killed at random moments, two of which store the same bytes."""
    return _killed_often(folder, "keep", (0, 0, 1), moments=moments, seed=seed)


def killed_folds(folder: Path, *, moments: int, seed: int = 0) -> Tally:
    """Two that fold the same ledger at once, killed at random moments."""
    return _killed_often(folder, "fold", (0, 1), moments=moments, seed=seed, longest_s=0.6)


def killed_collections(folder: Path, *, moments: int, seed: int = 0) -> Tally:
    """Two collectors, and a writer of the same bytes as they remove, killed at random moments."""
    return _killed_often(folder, "collect", (0, 1, 2), moments=moments, seed=seed, longest_s=1.2)


def met_at_calls(folder: Path, victim: str, fault: str, *, calls: range) -> Tally:
    """One victim after the other, each ended by *fault* at another of its system calls.

    Each has a new ledger and finds nothing there. The first that has no so many calls is the last.
    """
    attack = _Attack(full=fault.startswith("full"))
    with Nursery() as nursery:
        for call in calls:
            root = folder / f"{call}"
            lives = nursery.kill(victim, root, seeds=[0], fault=fault, first=call)
            attack.look(root, lives, moment=f"at call {call}")
            attack.go_on(root)
            shutil.rmtree(root)
            if lives[0].end == 0:
                break
    return attack.tally


def met_full_disks(folder: Path, victim: str, *, free_bytes: Iterable[int]) -> Tally:
    """A victim for each number of bytes that are left free, until it meets the end of the disk.

    The disk is the one that `folder` is on: it should be small.
    """
    attack, ballast = _Attack(full=True), folder / "ballast"
    for size_bytes in free_bytes:
        root, said = folder / f"{size_bytes}", list[list[Any]]()
        execute(root, "before")
        fold.fold(root)
        _fill(ballast, free_bytes=size_bytes)
        try:
            VICTIMS[victim](root, lambda *word, said=said: said.append(list(word)), 0)
        except ReproError as error:
            said.append(["error", str(error)])
        ballast.unlink()
        attack.look(root, [Life(end=0, said=said)], moment=f"{size_bytes} bytes free")
        attack.ask(root)
        attack.go_on(root)
        shutil.rmtree(root)
    return attack.tally


def _fill(ballast: Path, *, free_bytes: int) -> None:
    """Leave no more than so many bytes free on the disk that this file is on."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            os.ftruncate(file.fileno(), max(0, ballast.stat().st_size - free_bytes))


def _killed_often(
    folder: Path,
    victim: str,
    seeds: Iterable[int],
    *,
    moments: int,
    seed: int,
    longest_s: float = LONGEST_S,
) -> Tally:
    """Kill victims at random moments, ten times in a row on one ledger before it goes on."""
    attack, ages = _Attack(full=False), random.Random(seed)
    with Nursery() as nursery:
        for moment in range(moments):
            root, after_s = folder / f"{moment // _PER_LEDGER}", ages.uniform(0, longest_s)
            lives = nursery.kill(victim, root, seeds=list(seeds), after_s=after_s)
            attack.look(root, lives, moment=f"moment {moment}, after {after_s:.4f} s")
            attack.ask(root)
            if (moment + 1) % _PER_LEDGER == 0 or moment + 1 == moments:
                attack.go_on(root)
                shutil.rmtree(root)
    return attack.tally


class _Attack:
    """What was acknowledged on a ledger so far, and what was found wrong, on it and before.

    Where the disk is full, errors are right, if they are clear; elsewhere none is.
    """

    def __init__(self, *, full: bool) -> None:
        self._full = full
        self._began_s = time.monotonic()
        self._moment = ""
        self._moments = self._acknowledged = 0
        self._wrong: list[str] = []
        self._said: list[list[Any]] = []

    @property
    def tally(self) -> Tally:
        return Tally(
            moments=self._moments,
            acknowledged=self._acknowledged,
            wrong=self._wrong,
            elapsed_s=time.monotonic() - self._began_s,
        )

    def look(self, root: Path, lives: list[Life], *, moment: str) -> None:
        """What these lives left behind, before anything else is done."""
        self._moment = moment
        self._moments += 1
        self._said += [word for life in lives for word in life.said]
        self._note(f"a victim ended with {each.end}" for each in lives if each.end == 1)
        errors = [word[1] for word in self._said if word[0] == "error"]
        self._note(each for each in errors if not (self._full and _CLEAR.fullmatch(each)))
        self._note(_lost(root, self._said))

    def ask(self, root: Path) -> None:
        """A question in SQL, if anything was recorded yet."""
        if (root / "segments").is_dir():
            self._note(_disagreeing(root))

    def go_on(self, root: Path) -> None:
        """The next commands, which end the story of this ledger."""
        self._note(_failing(root))
        self._note(_lost(root, self._said))
        self._acknowledged += sum(word[0] != "error" for word in self._said)
        self._said = []

    def _note(self, wrong: Iterable[str]) -> None:
        try:
            self._wrong += [f"{self._moment}: {each}" for each in wrong]
        except (ReproError, ChainError) as error:
            self._wrong.append(f"{self._moment}: {error}")


def _lost(root: Path, said: list[list[Any]]) -> Iterator[str]:
    """What was acknowledged and is not there, or was acknowledged twice."""
    removed = history.removed(root)
    found = {path.stem: list(history.read_lines(path)) for path in history.segment_paths(root)}
    for what, name, *more in said:
        lines = found.get(name, [])
        match what, more:
            case "record", [seq, kind] if [each.kind for each in lines[seq : seq + 1]] != [kind]:
                yield f"{name}: record {seq} ({kind}) is lost"
            case "note", [seq, number] if _numbers(lines[seq : seq + 1]) != [number]:
                yield f"{name}: note {number} is not record {seq}"
            case "logged", [stage_id, steps] if _steps(lines, stage_id)[:steps] != [*range(steps)]:
                yield f"{name}: of {steps} moments {_steps(lines, stage_id)} are there"
            case "sealed", [] if [each.kind for each in lines[-1:]] != ["seal"]:
                yield f"{name}: the seal is lost"
            case "stored", [sha256] if name not in removed.get(sha256, ()):
                store.check(root, sha256)
            case "removed", [sha256] if sha256 not in removed:
                yield f"{name}: {sha256} went without a tombstone"
    places = Counter((word[1], word[2]) for word in said if word[0] in ("record", "note"))
    yield from (f"{place} was given to two records" for place, n in places.items() if n > 1)


def _numbers(lines: list[Line]) -> list[Any]:
    """What each note says."""
    return [line.data["facts"]["number"] for line in lines if line.kind == Decision.kind]


def _steps(lines: list[Line], stage_id: str) -> list[int]:
    """The moments that a stage logged, in the order of the records."""
    return [
        step
        for line in lines
        if line.kind == Progress.kind and line.data["stage_id"] == stage_id
        for step in line.data["steps"]
    ]


def _failing(root: Path) -> Iterator[str]:
    """What the next commands find wrong: an execution, `verify` and a question."""
    execute(root, "next")
    yield from (str(finding) for finding in verify(root))
    yield from _disagreeing(root)


def _disagreeing(root: Path) -> Iterator[str]:
    """Which records the tables have and the segments have not, or the other way round."""
    answer = query(root, _RECORDS)
    yield from answer.warnings
    in_tables = Counter(answer.rows)
    in_segments = Counter(
        (line.kind, path.stem, line.seq)
        for path in history.segment_paths(root)
        for line in history.read_lines(path)
    )
    yield from (f"{each} is only in the tables" for each in in_tables - in_segments)
    yield from (f"{each} is only in the segments" for each in in_segments - in_tables)
