"""Artifacts: files named by the SHA-256 of their bytes, written once, never changed.

`objects/<first 2 hex>/<64 hex>`. A file is written aside, synced, made read-only and renamed, so
that a name never shows half a file. Leftovers of killed writers end in `.part`.
"""

import hashlib
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xxhash
from attrs import frozen

from repro import digest
from repro.errors import IntegrityError, LedgerError
from repro.ledger import durable

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


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
    actual = measure(path).sha256
    if actual != sha256:
        raise IntegrityError(
            f"{path}: artifact was changed: expected {sha256}, found {actual};"
            " remove the file and run again"
        )
    return path


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


def _keep(objects: Path, part: Path) -> Stored:
    stored = measure(part)
    final = path_of(objects.parent, stored.sha256)
    durable.make_folder(final.parent)
    part.chmod(0o444)
    durable.sync(part)
    if final.exists():
        check(objects.parent, stored.sha256)
    else:
        part.rename(final)
    durable.sync(final.parent)
    return stored
