"""Files that are there after a power cut: written aside, synced, renamed, their folder synced."""

import errno
import os
from pathlib import Path

from repro.errors import LedgerError


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and make their names durable."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync(each.parent)


def sync(path: Path) -> None:
    """Push a file's bytes, or a folder's names, to the disk.

    Some shared folders cannot sync names (EINVAL): their server keeps them by itself.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def refused(path: Path, error: OSError, *, what: str) -> LedgerError:
    """A failed system call as one line: where, what failed, what to do."""
    return LedgerError(
        f"{path}: {what}: {error.strerror}; free space or fix access, then run again"
    )
