"""Files that are there after a power cut: written aside, synced, renamed, their folder synced."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repro.errors import LedgerError

_POLL_S = 0.02


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and make their names durable."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync(each.parent)


def sync(path: Path) -> None:
    """Push a file's bytes, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, wait_s: float) -> Iterator[bool]:
    """Hold an exclusive lock on a file of its own; gives False if others held it all the time.

    The lock belongs to the open file, so it also excludes other threads, and dies with the process.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _acquired(descriptor, deadline=time.monotonic() + wait_s)
    finally:
        os.close(descriptor)


def _acquired(descriptor: int, *, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def refused(path: Path, error: OSError, *, what: str) -> LedgerError:
    """A failed system call as one line: where, what failed, what to do."""
    return LedgerError(
        f"{path}: {what}: {error.strerror}; free space or fix access, then run again"
    )
