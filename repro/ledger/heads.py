"""One digest over every seal, and the statement that it is the digest of.

A statement lists every sealed execution with the hash of its seal, in order of id, as an in-toto
Statement v1 in canonical JSON: the same seals give the same bytes on every machine. The head is the
SHA-256 of these bytes, small enough for a commit message, a release page or a time-stamp. The
statement is kept in `heads/` under its own digest, so `sha256sum` checks it.

Who keeps a head, or better its statement, outside this folder can tell later (`against`) that no
execution that was sealed then was changed, cut short or removed since: nobody can make the same
head of other seals.
"""

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from repro import digest
from repro.errors import LedgerError
from repro.ledger import durable, signing
from repro.ledger.chain import ChainError, parse
from repro.ledger.history import last_line, require, segment_paths
from repro.ledger.records import FORMAT

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:repro-ledger:seals:v1"


def head(root: Path) -> str:
    """The digest of the statement over every seal that is there now.

    Raises:
        LedgerError: there is no ledger here.
    """
    return digest.sha256(statement(root))


def statement(root: Path) -> bytes:
    """Every sealed execution with the hash of its seal, as the bytes that the head is made of.

    Raises:
        LedgerError: there is no ledger here.
    """
    return digest.canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": execution_id, "digest": {"sha256": hash_}}
                for execution_id, hash_ in seals(root).items()
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"segment_format": FORMAT},
        }
    )


def seals(root: Path) -> dict[str, str]:
    """The hash of the seal of every sealed execution, in order of id; 64 hex digits each.

    Raises:
        LedgerError: there is no ledger here, or a segment cannot be read.
    """
    require(root)
    try:
        found = {path.stem: _seal_hash(path) for path in segment_paths(root)}
    except OSError as error:
        raise LedgerError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return {name: hash_ for name, hash_ in found.items() if hash_ is not None}


@frozen(kw_only=True)
class Taken:
    """A head that was taken, the files that were written, and why the ledger has not kept it."""

    head: str
    files: tuple[Path, ...]
    problem: str


def take_head(
    root: Path,
    *,
    out: Path | None = None,
    private_key: Path | None = None,
    passphrase: Callable[[], str] = str,
) -> Taken:
    """Keep the statement in the ledger, and in *out* as well, signed if there is a key.

    Without *out*, a signed one is kept beside the other. A ledger that cannot be written has a head
    all the same. *passphrase* is called if the key is encrypted.

    Raises:
        LedgerError: there is no ledger here, the key cannot be used, or *out* cannot be written.
    """
    data = stated = statement(root)
    name = digest.sha256(stated)
    kept = kept_path(root, name)
    if private_key is not None:
        data = signing.signed(stated, private_key, passphrase=passphrase)
        out = out or kept.with_suffix(".dsse.json")
    files, problem = [], ""
    try:
        _write(kept, stated)
        files.append(kept)
    except LedgerError as error:
        problem = str(error)
    if out is not None:
        _write(out, data)
        files.append(out)
    return Taken(head=name, files=tuple(files), problem=problem)


def kept_path(root: Path, name: str) -> Path:
    """Where the ledger keeps the statement of a head."""
    return root / "heads" / f"{name.removeprefix('sha256:')}.json"


def _write(path: Path, data: bytes) -> None:
    """Write a file aside, make it durable and read-only, and put it in its place.

    Raises:
        LedgerError: it cannot be written.
    """
    if path.is_file() and path.read_bytes() == data:
        return
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        durable.make_folder(path.parent)
        part.write_bytes(data)
        part.chmod(0o444)
        durable.sync(part)
        part.replace(path)
        durable.sync(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise durable.refused(path, error, what="the head is not kept") from error


def _seal_hash(path: Path) -> str | None:
    """The hash of the seal that a segment ends with, if it does; the rest is for `verify`."""
    last = last_line(path)
    try:
        line = parse(last, record=0)
    except ChainError:
        return None
    return line.hash if line.kind == "seal" else None
