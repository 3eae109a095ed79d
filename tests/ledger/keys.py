"""Keys to sign with, as `ssh-keygen` and `openssl` write them."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


def key_pair(
    folder: Path, name: str = "key", *, pem: bool = False, passphrase: str = ""
) -> tuple[Path, Path]:
    """The files of a fresh private key and of its public key."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / name, folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            Encoding.PEM,
            PrivateFormat.PKCS8 if pem else PrivateFormat.OpenSSH,
            BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption(),
        )
    )
    shape = (
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        if pem
        else (Encoding.OpenSSH, PublicFormat.OpenSSH)
    )
    public.write_bytes(key.public_key().public_bytes(*shape))
    return private, public
