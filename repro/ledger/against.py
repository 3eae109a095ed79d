"""The ledger held against heads that were taken earlier: what was sealed then must be there still.

Executions that are sealed later are no contradiction. A head names everything that changed since
only if its statement is at hand: one kept elsewhere, or the ledger's own copy.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from repro import digest
from repro.errors import LedgerError
from repro.ledger import signing
from repro.ledger.findings import Finding
from repro.ledger.heads import PREDICATE_TYPE, STATEMENT_TYPE, head, kept_path, seals
from repro.ledger.history import require

_HEAD = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_SHOWN_CHARS = 19


def against(root: Path, given: str, *, key: Path | None = None) -> list[Finding]:
    """Every seal of a head that is no longer there or is another one.

    *given* is a head, whose statement the ledger has kept, or the path of a statement, or of one
    that is signed; only such a path takes a *key*, the file of the public keys to trust.

    Raises:
        LedgerError: there is no such file, it is no statement, or a key is missing or too much.
        IntegrityError: none of the keys signed it.
    """
    require(root)
    if match := _HEAD.fullmatch(given):
        if key is not None:
            raise LedgerError(f"{given}: a digest is not signed; give the file that is, or no key")
        return _against_digest(root, f"sha256:{match[1]}")
    path = Path(given)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LedgerError(
            f"{given}: expected a head (sha256: and 64 hex digits) or the file of a statement:"
            f" {error.strerror}"
        ) from error
    if signing.is_envelope(data):
        if key is None:
            raise LedgerError(f"{given}: is signed; give the public key with --key")
        data = signing.opened(data, key, name=given)
    elif key is not None:
        raise LedgerError(f"{given}: is not signed; give the signed statement, or no key")
    return list(_differing(root, seals(root), _stated(data, given), digest.sha256(data)))


def against_kept(root: Path) -> list[Finding]:
    """The segments that a head in the ledger itself contradicts, and the heads that changed."""
    paths = sorted((root / "heads").glob("*.json"))
    statements = [each for each in paths if _HEAD.fullmatch(each.stem)]  # the others are signed
    current = seals(root) if statements else {}
    found: dict[str, Finding] = {}
    for path in statements:
        for each in _against_file(root, path, current):
            found.setdefault(each.file, each)
    return list(found.values())


def _against_digest(root: Path, wanted: str) -> list[Finding]:
    current = head(root)
    if current == wanted:
        return []
    path = kept_path(root, wanted)
    if not path.is_file():
        problem = "the head was never taken here: the ledger was rolled back, or is another one"
        return [Finding(file="heads", problem=problem, expected=wanted, found=current)]
    return _against_file(root, path, seals(root))


def _against_file(root: Path, path: Path, current: Mapping[str, str]) -> list[Finding]:
    data, file = path.read_bytes(), path.relative_to(root).as_posix()
    named, actual = f"sha256:{path.stem}", digest.sha256(data)
    if actual != named:
        problem = "the statement was changed"
        return [Finding(file=file, problem=problem, expected=named, found=actual)]
    try:
        return list(_differing(root, current, _stated(data, file), named))
    except LedgerError as error:
        return [
            Finding(file=file, problem=str(error), expected="a statement", found="another file")
        ]


def _differing(
    root: Path, current: Mapping[str, str], stated: Mapping[str, str], name: str
) -> Iterator[Finding]:
    for execution_id, hash_ in stated.items():
        if current.get(execution_id) == hash_:
            continue
        file = f"segments/{execution_id}.jsonl"
        absent = "no seal" if (root / file).is_file() else "no file"
        yield Finding(
            file=file,
            problem=f"is not as it was when head {name[:_SHOWN_CHARS]}… was taken",
            expected=f"seal {hash_}",
            found=f"seal {current[execution_id]}" if execution_id in current else absent,
        )


def _stated(data: bytes, file: str) -> dict[str, str]:
    """The seals that a statement lists.

    Raises:
        LedgerError: it is no statement over seals.
    """
    try:
        said = json.loads(data)
        kinds = said["_type"], said["predicateType"]
        listed = {each["name"]: each["digest"]["sha256"] for each in said["subject"]}
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise LedgerError(f"{file}: is no statement over seals: {error!r}") from error
    if kinds != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise LedgerError(
            f"{file}: is no statement over seals: expected {PREDICATE_TYPE}, found {kinds[1]!r}"
        )
    return listed
