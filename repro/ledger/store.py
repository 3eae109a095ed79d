"""Artifacts: files named by the SHA-256 of their bytes, written once, never changed.

`objects/<first 2 hex>/<64 hex>`. A file is written aside, synced, made read-only and renamed, so
that a name never shows half a file. Leftovers of killed writers end in `.part`.

Whoever stores bytes that are there already touches their file; whoever removes a file moves it
aside first and looks at that time again. So an artifact that a writer is about to record is not
removed under its hands.
"""

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import xxhash
from attrs import frozen

from repro import digest
from repro.errors import IntegrityError, LedgerError
from repro.ledger import durable

_HEX = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(rf"sha256:({_HEX.pattern})")


@frozen(kw_only=True)
class Stored:
    """What names and proves an artifact's bytes."""

    sha256: str
    xxh3_128: str
    size_bytes: int


class Writing:
    """A file being written to `path`; `stored` is set when the block has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stored: Stored | None = None

    @property
    def stored(self) -> Stored:
        if self._stored is None:
            raise LedgerError(f"{self.path}: not stored yet; ask after the block has ended")
        return self._stored


@contextmanager
def writing(root: Path) -> Iterator[Writing]:
    """A fresh path to write an artifact to; it is stored when the block ends well.

    Raises:
        IntegrityError: the store holds other bytes under the same digest.
        LedgerError: the file could not be stored.
    """
    objects = root / "objects"
    part = objects / f"{secrets.token_hex(8)}.part"
    try:
        durable.make_folder(objects)
        target = Writing(part)
        yield target
        target._stored = _keep(objects, part)
    except OSError as error:
        raise durable.refused(part, error, what="the artifact is not stored") from error
    finally:
        part.unlink(missing_ok=True)


def put_bytes(root: Path, data: bytes) -> Stored:
    """Store these bytes."""
    with writing(root) as file:
        file.path.write_bytes(data)
    return file.stored


def put_file(root: Path, source: Path) -> Stored:
    """Store a copy of a file."""
    with writing(root) as file:
        shutil.copyfile(source, file.path)
    return file.stored


def path_of(root: Path, sha256: str) -> Path:
    """Where an artifact lies, if it is there.

    Raises:
        IntegrityError: this is no digest.
    """
    match = _DIGEST.fullmatch(sha256)
    if match is None:
        raise IntegrityError(f"{sha256!r}: expected sha256: and 64 hex digits")
    return root / "objects" / match[1][:2] / match[1]


def locate(root: Path, sha256: str) -> Path:
    """The path of an artifact that is there.

    Raises:
        IntegrityError: it is not, or this is no digest.
    """
    path = path_of(root, sha256)
    if not path.is_file():
        raise IntegrityError(f"{path}: artifact is missing; run again to make it anew")
    return path


def check(root: Path, sha256: str) -> Path:
    """The path of an artifact whose bytes still give its digest.

    Raises:
        IntegrityError: it is missing or was changed.
    """
    path = locate(root, sha256)
    _hold_to(path, sha256)
    return path


def remove(root: Path, sha256: str, *, touched_ns: int) -> bool:
    """Remove an artifact, unless its bytes were stored once more since `touched_ns`.

    Raises:
        LedgerError: the store cannot be written.
    """
    path = path_of(root, sha256)
    aside = root / "objects" / f"{path.name}.part"
    try:
        if path.stat().st_mtime_ns != touched_ns:
            return False
        path.rename(aside)
        if aside.stat().st_mtime_ns == touched_ns:
            aside.unlink()
            return True
        _put_back(aside, path)
    except FileNotFoundError:  # another one removes, or puts back, the same file
        pass
    except OSError as error:
        raise durable.refused(path, error, what="the artifact cannot be removed") from error
    return False


def put_back(root: Path) -> None:
    """Undo the removals that were cut off between a file's being moved aside and its removal."""
    for aside in (root / "objects").glob("*.part"):
        if _HEX.fullmatch(aside.stem):
            with suppress(FileNotFoundError):
                _put_back(aside, path_of(root, f"sha256:{aside.stem}"))


def _put_back(aside: Path, path: Path) -> None:
    if path.exists():
        aside.unlink()
    else:
        aside.rename(path)


def measure(path: Path) -> Stored:
    """Both digests and the size of a file, in one pass."""
    proof, name, size_bytes = hashlib.sha256(), xxhash.xxh3_128(), 0
    for chunk in digest.chunks(path):
        proof.update(chunk)
        name.update(chunk)
        size_bytes += len(chunk)
    return Stored(
        sha256=f"sha256:{proof.hexdigest()}", xxh3_128=name.hexdigest(), size_bytes=size_bytes
    )


def _hold_to(path: Path, sha256: str) -> None:
    actual = measure(path).sha256
    if actual != sha256:
        raise IntegrityError(
            f"{path}: artifact was changed: expected {sha256}, found {actual};"
            " remove the file and run again"
        )


def _keep(objects: Path, part: Path) -> Stored:
    stored = measure(part)
    final = path_of(objects.parent, stored.sha256)
    durable.make_folder(final.parent)
    part.chmod(0o444)
    durable.sync(part)
    if not _still_there(final, stored.sha256):
        part.rename(final)
    durable.sync(final.parent)
    durable.sync(objects)  # which names that folder: whoever made it may have been killed just then
    return stored


def _still_there(path: Path, sha256: str) -> bool:
    """Whether the store holds these bytes, and will: whoever removes files sees the touch.

    Raises:
        IntegrityError: it holds others under this digest.
    """
    try:
        touched = _touched(path)
        _hold_to(path, sha256)
        return touched and path.exists()
    except FileNotFoundError:
        return False


def _touched(path: Path) -> bool:
    try:
        os.utime(path)
    except PermissionError:  # somebody else's file: ours takes its place
        return False
    return True
