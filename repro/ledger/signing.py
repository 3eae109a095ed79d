"""Signed statements: DSSE v1 envelopes, Ed25519, keys as people have them. No network.

What is signed is the pre-authentication encoding of the envelope's type and payload, so that a
signature cannot be taken for one over something else. A private key is an OpenSSH or PEM file. A
file of public keys may be a `.pub`, `authorized_keys` or `allowed_signers` of OpenSSH, or PEM; of
several keys in it, any one counts. Only this needs `cryptography`, the extra `sign`.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from repro import digest
from repro.errors import IntegrityError, LedgerError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_OPENSSH_KEY = re.compile(rb"\bssh-ed25519 +([A-Za-z0-9+/]+=*)")
_PEM_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


def signed(payload: bytes, private_key: Path, *, passphrase: Callable[[], str]) -> bytes:
    """The envelope of a statement; *passphrase* is asked for one only if the key is encrypted.

    Raises:
        LedgerError: the key cannot be read, or is not Ed25519.
    """
    key = _private_key(private_key, passphrase)
    signature = key.sign(encoded(PAYLOAD_TYPE, payload))
    return digest.canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {
                    "keyid": fingerprint(key.public_key()),
                    "sig": base64.b64encode(signature).decode(),
                }
            ],
        }
    )


def opened(envelope: bytes, public_keys: Path, *, name: str) -> bytes:
    """The payload of an envelope that one of these keys has signed; *name* says where it is from.

    Raises:
        IntegrityError: none of them has.
        LedgerError: it is no envelope of a statement, or there is no key.
    """
    payload, signatures = _parts(envelope, name)
    keys = _public_keys(public_keys)
    if not any(_holds(key, payload, signature) for key in keys for signature in signatures):
        trusted = ", ".join(map(fingerprint, keys))
        raise IntegrityError(
            f"{name}: none of its {len(signatures)} signatures is by a key of {public_keys}:"
            f" expected {trusted}; it was changed, or signed by someone else"
        )
    return payload


def is_envelope(data: bytes) -> bool:
    """Whether this is meant to be an envelope, well made or not."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "payloadType" in value


def encoded(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding of DSSE v1: type and payload, each after its length."""
    type_ = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(type_), type_, len(payload), payload)


def fingerprint(key: "Ed25519PublicKey") -> str:
    """The name of a public key, as `ssh-keygen -l` prints it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    blob = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]
    proof = hashlib.sha256(base64.b64decode(blob)).digest()
    return f"SHA256:{base64.b64encode(proof).decode().rstrip('=')}"


def _holds(key: "Ed25519PublicKey", payload: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, encoded(PAYLOAD_TYPE, payload))
    except InvalidSignature:
        return False
    return True


def _parts(envelope: bytes, name: str) -> tuple[bytes, Sequence[bytes]]:
    """The payload of an envelope and its signatures, not verified yet."""
    try:
        value = json.loads(envelope)
        payload_type = value["payloadType"]
        payload = _decoded(value["payload"])
        signatures = [_decoded(each["sig"]) for each in value["signatures"]]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise LedgerError(f"{name}: is no DSSE envelope: {error!r}") from error
    if payload_type != PAYLOAD_TYPE:
        raise LedgerError(f"{name}: expected payload {PAYLOAD_TYPE}, found {payload_type!r}")
    return payload, signatures


def _decoded(text: str) -> bytes:
    """Base64 in either alphabet: DSSE lets a signer choose."""
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


def _private_key(path: Path, passphrase: Callable[[], str]) -> "Ed25519PrivateKey":
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = _read(path)
    openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        try:
            key = load(data, None)
        except TypeError:  # it is encrypted
            key = load(data, passphrase().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise LedgerError(
            f"{path}: expected an Ed25519 private key, OpenSSH or PEM, and its passphrase: {error}"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError(
            f"{path}: expected an Ed25519 key; make one with `ssh-keygen -t ed25519 -f FILE`"
        )
    return key


def _public_keys(path: Path) -> "Sequence[Ed25519PublicKey]":
    """Every Ed25519 key in a file; lines of other kinds, and comments, do not count."""
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    data = b"\n".join(line for line in _read(path).splitlines() if not line.startswith(b"#"))
    openssh = [b"ssh-ed25519 " + each for each in _OPENSSH_KEY.findall(data)]
    try:
        keys = [
            *(serialization.load_ssh_public_key(each) for each in openssh),
            *(serialization.load_pem_public_key(each) for each in _PEM_KEY.findall(data)),
        ]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LedgerError(f"{path}: holds a damaged public key: {error}") from error
    found = [key for key in keys if isinstance(key, Ed25519PublicKey)]
    if not found:
        raise LedgerError(
            f"{path}: holds no Ed25519 public key; expected a line `ssh-ed25519 AAAA...` or PEM"
        )
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LedgerError(f"{path}: the key cannot be read: {error.strerror}") from error


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise LedgerError(
            "signed heads need cryptography: pip install 'repro-ledger[sign]'"
        ) from error
