"""What a process does until it is killed. It says what was acknowledged, and only that.

Each word said is a list: what happened, the execution, and what can be looked up later.
"""

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from attrs import evolve

from repro.ledger import fold, gc, segment, store
from repro.ledger.lease import LeaseHeldError
from repro.ledger.records import Decision
from tests.ledger.ledgers import TRAIN, artifact, start

Say = Callable[..., None]
"""Pass a word on to whoever kills this process."""

_SMALL_BYTES, _LARGE_BYTES = 20_000, 3_000_000
_GARBAGE = 5
_PAUSE_S = 0.02
_UNPLANNED = evolve(start("unplanned"), stages=())  # what others do of an open plan is spared


def write(root: Path, say: Say, seed: int) -> None:
    """One execution after the other, each with every kind of append, until killed."""
    while True:
        write_once(root, say, seed)


def write_once(root: Path, say: Say, seed: int) -> None:
    """An execution that is begun, written to and sealed."""
    with segment.begin(root, start(f"{seed}")) as execution:
        name = execution.execution_id
        say("record", name, 0, "start")
        for number in range(0, 12, 3):
            say("note", name, execution.append(_note(number)), number)
            say("note", name, execution.append(_note(-number), durable=False), -number)
            for step in range(number, number + 3):
                execution.log(TRAIN, step, {"loss": 1 / (1 + step)})
            first, second = execution.append_all([_note(number + 1), _note(number + 2)])
            say("logged", name, TRAIN, number + 3)
            say("note", name, first, number + 1)
            say("note", name, second, number + 2)
        execution.log(TRAIN, 12, {"loss": 0.0})
        execution.flush()
        say("logged", name, TRAIN, 13)
    say("sealed", name)


def _note(number: int) -> Decision:
    return Decision(topic="note", facts={"number": number})


def keep(root: Path, say: Say, seed: int) -> None:
    """One artifact after the other, each stored and then recorded, until killed.

    Victims with one seed store the same bytes.
    """
    sizes = random.Random(seed)
    with segment.begin(root, start("keeper")) as execution:
        for number in count():
            size_bytes = sizes.randrange(_LARGE_BYTES if number % 4 == 3 else _SMALL_BYTES)
            _keep(root, say, execution, sizes.randbytes(size_bytes))


def keep_once(root: Path, say: Say, seed: int) -> None:
    """Two artifacts, the second of the same bytes."""
    with segment.begin(root, start("keeper")) as execution:
        for _ in range(2):
            _keep(root, say, execution, b"%d" % seed)


def _keep(root: Path, say: Say, execution: segment.Segment, data: bytes) -> None:
    record = artifact(root, data)
    say("stored", execution.execution_id, record.sha256)
    say("record", execution.execution_id, execution.append(record), "artifact")


def fold_on(root: Path, say: Say, seed: int) -> None:
    """Records and folds in turn, and now and then a database that is made anew, until killed."""
    for number in count(seed):
        fold_once(root, say, number)
        if number % 4 == 0:
            fold.rebuild(root)


def fold_once(root: Path, say: Say, seed: int) -> None:
    """An execution of two records, and a fold."""
    with segment.begin(root, start("folded")) as execution:
        say("note", execution.execution_id, execution.append(_note(seed)), seed)
    say("sealed", execution.execution_id)
    fold.fold(root)


def collect_on(root: Path, say: Say, seed: int) -> None:
    """Garbage, made and collected in turn, until killed; seed 1 writes the bytes of seed 0 again.

    What that one has recorded may not be removed while its execution goes on.
    """
    while True:
        if seed == 1:
            with suppress(RuntimeError), segment.begin(root, _UNPLANNED) as execution:
                for data in _garbage(0):
                    _keep(root, say, execution, data)
                raise RuntimeError  # a finished run would hold them for ever
            time.sleep(_PAUSE_S)  # in which no execution is open that the collectors must spare
        else:
            collect_once(root, say, seed)


def collect_once(root: Path, say: Say, seed: int) -> None:
    """An execution that fails, its artifacts, grown old, and their collection."""
    with suppress(RuntimeError), segment.begin(root, _UNPLANNED) as execution:
        made = [artifact(root, data) for data in _garbage(seed)]
        for seq in execution.append_all(made):
            say("record", execution.execution_id, seq, "artifact")
        for each in made:
            with suppress(FileNotFoundError):  # another collector was faster
                os.utime(store.path_of(root, each.sha256), (0, 0))
        raise RuntimeError
    with suppress(LeaseHeldError):
        collection = gc.collect(root, delete=True)
        for gone in collection.gone:
            say("removed", collection.execution_id, gone.sha256)


def _garbage(seed: int) -> list[bytes]:
    return [b"%d of %d" % (number, seed) for number in range(_GARBAGE)]


VICTIMS: dict[str, Callable[[Path, Say, int], Any]] = {
    "write": write,
    "write once": write_once,
    "keep": keep,
    "keep once": keep_once,
    "fold": fold_on,
    "fold once": fold_once,
    "collect": collect_on,
    "collect once": collect_once,
}
