"""Canonical bytes of plain data, and digests of bytes and files.

A digest is written `algorithm:hex`, so that it says how to check it. Ids are XXH3-128: fast, and
enough against accident. Proof is SHA-256: enough against people.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xxhash

CHUNK_BYTES = 1 << 20


def canonical(value: Any) -> bytes:
    """Encode plain data so that equal values give equal bytes on every machine.

    Keys are sorted, -0.0 becomes 0.0, infinities become strings (TOML has them, JSON does not).

    Raises:
        TypeError: for a value that is not plain data.
        ValueError: for NaN, which equals nothing, itself included.
    """
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()


def xxh3_128(data: bytes) -> str:
    """32 hex digits that name these bytes."""
    return xxhash.xxh3_128_hexdigest(data)


def sha256(data: bytes) -> str:
    """`sha256:` and 64 hex digits that prove these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def sha256_file(path: Path) -> str:
    """The SHA-256 digest of a file's bytes."""
    proof = hashlib.sha256()
    for chunk in chunks(path):
        proof.update(chunk)
    return f"sha256:{proof.hexdigest()}"


def chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a mebibyte at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _plain(value: Any) -> Any:
    match value:
        case str() | int() | None:
            return value
        case float():
            return _plain_float(value)
        case dict() | Mapping():
            return {_key(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | Sequence() if not isinstance(value, bytes | bytearray):
            return [_plain(item) for item in value]
        case _:
            msg = f"not plain data: {value!r} of type {type(value).__name__}"
            raise TypeError(msg)


def _plain_float(value: float) -> float | str:
    if math.isnan(value):
        msg = "NaN has no canonical form"
        raise ValueError(msg)
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value + 0.0  # -0.0 + 0.0 is 0.0


def _key(key: Any) -> str:
    if not isinstance(key, str):
        msg = f"keys are strings, got {key!r}"
        raise TypeError(msg)
    return key
