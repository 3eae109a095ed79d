"""Signed statements: DSSE v1 envelopes, with the keys that people have."""

import base64
import json
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.errors import IntegrityError, LedgerError
from repro.ledger.signing import encoded, fingerprint, is_envelope, opened, signed
from tests.ledger.keys import key_pair

PAYLOAD = b'{"subject":[]}'


def sign(private, *, passphrase=""):
    return signed(PAYLOAD, private, passphrase=lambda: passphrase)


def test_the_encoding_is_that_of_the_specification():
    """The example of DSSE's protocol page."""
    found = encoded("http://example.com/HelloWorld", b"hello world")

    assert found == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@pytest.mark.parametrize("pem", [False, True], ids=["openssh", "pem"])
@pytest.mark.parametrize("passphrase", ["", "a secret"], ids=["open", "encrypted"])
def test_what_was_signed_comes_back(tmp_path, pem, passphrase):
    """Both forms of a key, encrypted or not, sign what the public one then opens."""
    private, public = key_pair(tmp_path, pem=pem, passphrase=passphrase)

    envelope = sign(private, passphrase=passphrase)

    assert opened(envelope, public, name="head") == PAYLOAD


def test_an_envelope_says_what_it_holds_and_whose_it_is(tmp_path):
    """Payload, its type, and one signature by a key that is named as `ssh-keygen -l` names it."""
    private, public = key_pair(tmp_path)

    said = json.loads(sign(private))

    assert base64.b64decode(said["payload"]) == PAYLOAD
    assert said["payloadType"] == "application/vnd.in-toto+json"
    key = load_ssh_public_key(public.read_bytes())
    assert isinstance(key, Ed25519PublicKey)
    assert [each["keyid"] for each in said["signatures"]] == [fingerprint(key)]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")
def test_a_key_of_ssh_keygen_signs(tmp_path):
    """A key as people make it, and the fingerprint that they see."""
    private = tmp_path / "id_ed25519"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(private)]
    subprocess.run(make, check=True)
    public = private.with_suffix(".pub")
    shown = subprocess.check_output(["ssh-keygen", "-l", "-f", str(public)], text=True)

    envelope = sign(private)

    assert opened(envelope, public, name="head") == PAYLOAD
    assert json.loads(envelope)["signatures"][0]["keyid"] in shown.split()


@pytest.mark.parametrize(
    "line",
    [
        "{key}",
        '# a comment\nsomebody@example.org namespaces="repro" {key}',
        'restrict,command="x" {key} a comment',
        "ssh-rsa AAAAB3NzaC1yc2E= other\n{key}",
    ],
    ids=["pub", "allowed_signers", "authorized_keys", "several"],
)
def test_public_keys_come_in_files_of_openssh(tmp_path, line):
    """Options, names and comments around a key, and keys of other kinds, do not matter."""
    private, public = key_pair(tmp_path)
    file = tmp_path / "file"
    file.write_text(line.format(key=public.read_text(encoding="utf-8").strip()), encoding="utf-8")

    assert opened(sign(private), file, name="head") == PAYLOAD


def test_a_key_in_a_comment_does_not_count(tmp_path):
    """Who takes a key out by commenting its line trusts it no longer."""
    private, public = key_pair(tmp_path)
    _, other = key_pair(tmp_path, "other")
    file = tmp_path / "file"
    file.write_bytes(b"# " + public.read_bytes() + b"\n" + other.read_bytes())

    with pytest.raises(IntegrityError, match="none of its 1 signatures"):
        opened(sign(private), file, name="head")


@pytest.mark.parametrize("alphabet", [base64.b64encode, base64.urlsafe_b64encode])
def test_both_alphabets_are_read(tmp_path, alphabet):
    """DSSE leaves the signer the choice."""
    private, public = key_pair(tmp_path)
    said = json.loads(sign(private))
    raw = base64.b64decode(said["signatures"][0]["sig"])
    said["signatures"][0]["sig"] = alphabet(raw).decode()

    assert opened(json.dumps(said).encode(), public, name="head") == PAYLOAD


@settings(max_examples=50)
@given(data=st.data())
def test_no_byte_of_payload_or_signature_can_change(tmp_path_factory, data):
    """Whatever bit is turned in either, the envelope does not open."""
    private, public = key_pair(tmp_path_factory.mktemp("keys"))
    said = json.loads(sign(private))
    part = data.draw(st.sampled_from(["payload", "sig"]))
    holder = said if part == "payload" else said["signatures"][0]
    raw = bytearray(base64.b64decode(holder[part]))
    place = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[place // 8] ^= 1 << place % 8
    holder[part] = base64.b64encode(raw).decode()

    with pytest.raises(IntegrityError, match="none of its 1 signatures"):
        opened(json.dumps(said).encode(), public, name="head")


def test_the_type_of_the_payload_is_signed(tmp_path):
    """A signature over something else is none over a statement."""
    private, public = key_pair(tmp_path)
    said = json.loads(sign(private)) | {"payloadType": "text/plain"}

    with pytest.raises(LedgerError, match="found 'text/plain'"):
        opened(json.dumps(said).encode(), public, name="head")


def test_an_envelope_without_signatures_does_not_open(tmp_path):
    """Nobody signed it."""
    private, public = key_pair(tmp_path)
    said = json.loads(sign(private)) | {"signatures": []}

    with pytest.raises(IntegrityError, match="none of its 0 signatures"):
        opened(json.dumps(said).encode(), public, name="head")


@pytest.mark.parametrize(
    "envelope",
    [
        b"{}",
        b'{"payloadType":"application/vnd.in-toto+json"}',
        b'{"payloadType":"application/vnd.in-toto+json","payload":"!","signatures":[]}',
        b'{"payloadType":"application/vnd.in-toto+json","payload":1,"signatures":[]}',
        b'{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[1]}',
    ],
)
def test_a_damaged_envelope_is_an_error(tmp_path, envelope):
    """What is no envelope cannot be checked."""
    _, public = key_pair(tmp_path)

    with pytest.raises(LedgerError, match="head: is no DSSE envelope"):
        opened(envelope, public, name="head")


def test_an_envelope_is_known_by_its_payload_type():
    """A statement, and what is no JSON, are none."""
    assert is_envelope(b'{"payloadType":"x"}')
    assert not is_envelope(PAYLOAD)
    assert not is_envelope(b"[]")
    assert not is_envelope(b"\xff")


def other_key(folder):
    """An EC key, private and public."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "ec", folder / "ec.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def test_other_keys_are_refused(tmp_path):
    """The message says how to make a key that is not."""
    private, public = other_key(tmp_path)

    with pytest.raises(LedgerError, match="ssh-keygen -t ed25519"):
        sign(private)
    with pytest.raises(LedgerError, match="holds no Ed25519 public key"):
        opened(
            b'{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[]}',
            public,
            name="head",
        )


@pytest.mark.parametrize("pem", [False, True], ids=["openssh", "pem"])
def test_a_wrong_passphrase_is_refused(tmp_path, pem):
    """So is none, for a key that has one."""
    private, _ = key_pair(tmp_path, pem=pem, passphrase="right")

    for passphrase in ("wrong", ""):
        with pytest.raises(LedgerError, match="passphrase"):
            sign(private, passphrase=passphrase)


def test_a_passphrase_is_not_asked_for_in_vain(tmp_path):
    """A key without one signs without a question."""
    private, public = key_pair(tmp_path)

    def ask():
        raise AssertionError

    assert opened(signed(PAYLOAD, private, passphrase=ask), public, name="head") == PAYLOAD


def test_a_missing_or_damaged_key_is_an_error(tmp_path):
    """The file is named."""
    private, _ = key_pair(tmp_path)
    damaged = tmp_path / "damaged"
    damaged.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", encoding="utf-8")

    with pytest.raises(LedgerError, match="absent: the key cannot be read"):
        sign(tmp_path / "absent")
    with pytest.raises(LedgerError, match="damaged: holds a damaged public key"):
        opened(sign(private), damaged, name="head")
    with pytest.raises(LedgerError, match="expected an Ed25519 private key"):
        sign(damaged)


def test_without_cryptography_the_message_says_what_to_install(tmp_path, monkeypatch):
    """It is an extra, needed for nothing else."""
    private, _ = key_pair(tmp_path)
    monkeypatch.setitem(sys.modules, "cryptography", None)

    with pytest.raises(LedgerError, match=r"repro-ledger\[sign\]"):
        sign(private)
