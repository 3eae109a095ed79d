"""Artifacts."""

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest
import xxhash

from repro.errors import IntegrityError, LedgerError
from repro.ledger import durable, store

HELLO = b"hello"


def test_an_artifact_is_named_by_its_bytes(tmp_path):
    """The path, the digests and the size all follow from the bytes."""
    stored = store.put_bytes(tmp_path, HELLO)

    name = hashlib.sha256(HELLO).hexdigest()
    assert stored.sha256 == f"sha256:{name}"
    assert stored.xxh3_128 == xxhash.xxh3_128_hexdigest(HELLO)
    assert stored.size_bytes == 5
    assert store.locate(tmp_path, stored.sha256) == tmp_path / "objects" / name[:2] / name
    assert store.check(tmp_path, stored.sha256).read_bytes() == HELLO


def test_an_artifact_is_read_only(tmp_path):
    """Nobody changes an artifact by accident."""
    path = store.locate(tmp_path, store.put_bytes(tmp_path, HELLO).sha256)

    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_equal_bytes_are_stored_once(tmp_path):
    """Storing again changes nothing, whichever way."""
    first = store.put_bytes(tmp_path, HELLO)
    path = store.locate(tmp_path, first.sha256)
    before = path.stat().st_ino
    (tmp_path / "copy").write_bytes(HELLO)

    assert store.put_file(tmp_path, tmp_path / "copy") == first
    assert path.stat().st_ino == before


def test_changed_bytes_are_not_taken_for_stored(tmp_path):
    """Where other bytes lie under the digest, storing fails and nothing is overwritten."""
    stored = store.put_bytes(tmp_path, HELLO)
    path = store.locate(tmp_path, stored.sha256)
    path.chmod(0o644)
    path.write_bytes(b"other")

    with pytest.raises(IntegrityError, match="artifact was changed"):
        store.put_bytes(tmp_path, HELLO)
    assert path.read_bytes() == b"other"


def test_a_failed_write_leaves_nothing(tmp_path):
    """What was written aside goes when the block fails."""

    def halfway() -> None:
        with store.writing(tmp_path) as file:
            file.path.write_bytes(HELLO)
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        halfway()

    assert list((tmp_path / "objects").iterdir()) == []


def test_a_block_that_wrote_nothing_is_an_error(tmp_path):
    """An artifact that was never written cannot be stored."""
    with pytest.raises(LedgerError, match="not stored"), store.writing(tmp_path):
        pass


def test_nothing_is_stored_before_the_block_ends(tmp_path):
    """The digests are known when the file is complete."""
    with store.writing(tmp_path) as file:
        file.path.write_bytes(HELLO)
        with pytest.raises(LedgerError, match="after the block"):
            _ = file.stored

    assert file.stored.size_bytes == 5


@pytest.mark.parametrize("sha256", ["", "sha256:../../etc/passwd", "md5:00", "sha256:" + "A" * 64])
def test_only_digests_name_artifacts(tmp_path, sha256):
    """Nothing but a digest leads to a path."""
    with pytest.raises(IntegrityError, match="expected sha256"):
        store.locate(tmp_path, sha256)


def test_a_missing_artifact_is_an_error(tmp_path):
    """What is not there is not found."""
    with pytest.raises(IntegrityError, match="missing"):
        store.check(tmp_path, "sha256:" + "0" * 64)


def test_a_folder_that_a_killed_writer_made_becomes_durable(tmp_path, monkeypatch):
    """Whoever stores in a folder that was there makes the folder's own name durable too."""
    synced: list[Path] = []
    sync = durable.sync

    def noted(path: Path) -> None:
        synced.append(path)
        sync(path)

    monkeypatch.setattr(durable, "sync", noted)
    folder = store.path_of(tmp_path, f"sha256:{hashlib.sha256(HELLO).hexdigest()}").parent
    folder.mkdir(parents=True)

    store.put_bytes(tmp_path, HELLO)

    assert {folder, tmp_path / "objects"} <= set(synced)


def test_what_was_stored_again_is_not_even_moved(tmp_path, monkeypatch):
    """An artifact that was touched since is left where it is, at no moment out of its place."""
    sha256 = store.put_bytes(tmp_path, HELLO).sha256
    monkeypatch.delattr(os, "rename")

    assert not store.remove(tmp_path, sha256, touched_ns=0)


def test_a_removal_that_fails_says_why(tmp_path, monkeypatch):
    """Moving a file aside needs space too; without any, the artifact stays."""
    sha256 = store.put_bytes(tmp_path, HELLO).sha256
    touched_ns = store.locate(tmp_path, sha256).stat().st_mtime_ns

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        with pytest.raises(LedgerError, match="cannot be removed: No space left"):
            store.remove(tmp_path, sha256, touched_ns=touched_ns)

    assert store.check(tmp_path, sha256).read_bytes() == HELLO
