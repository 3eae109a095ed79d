"""The code of an earlier execution, in a folder again."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from repro.engine.materialize import materialize
from repro.errors import IntegrityError, RunError
from repro.ledger import provenance, store
from repro.ledger.records import Provenance


def git(folder, *arguments):
    """Run git as somebody; returns what it says."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit, and the working folder in it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "topic")
    (folder / "code.py").write_text("answer = 41\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    monkeypatch.chdir(folder)
    return folder


def recorded(root):
    """What an execution in the working folder records of its code, by provider."""
    known = {
        each.provider: dict(each.value)
        for each in provenance.capture(root, cwd=Path.cwd())
        if isinstance(each, Provenance)
    }
    known["git"]["holds_package"] = True
    return known


def sources(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*.py")
        if ".git" not in path.parts
    }


def test_a_dirty_tree_comes_back(repository, tmp_path):
    """The commit, what was changed, added and removed since, and what git did not know."""
    root = tmp_path / "ledger"
    (repository / "gone.py").write_text("")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "second")
    git(repository, "rm", "--quiet", "gone.py")
    (repository / "code.py").write_text("answer = 42\n")
    (repository / "staged.py").write_text("staged = True\n")
    git(repository, "add", "staged.py")
    (repository / "unknown.py").write_text("unknown = True\n")
    known, before = recorded(root), sources(repository)
    (repository / "code.py").write_text("answer = 43\n")

    code = materialize(root, known, tmp_path / "code")

    assert code.folder == tmp_path / "code"
    assert sources(code.folder) == before


def test_a_tree_that_comes_back_has_the_same_provenance(repository, tmp_path, monkeypatch):
    """Commit, branch, remote, patch and untracked sources are recorded there as they were."""
    root = tmp_path / "ledger"
    git(repository, "remote", "add", "origin", "https://example.org/code.git")
    (repository / "code.py").write_text("answer = 42\n")
    (repository / "unknown.py").write_text("unknown = True\n")
    known = recorded(root)
    code = materialize(root, known, tmp_path / "code")

    monkeypatch.chdir(str(code.folder))

    assert recorded(root)["git"] == known["git"]


def test_the_repository_stays_as_it_is(repository, tmp_path):
    """Neither a branch nor a work tree is added to it."""
    root = tmp_path / "ledger"
    known = recorded(root)
    before = git(repository, "for-each-ref"), git(repository, "worktree", "list")

    materialize(root, known, tmp_path / "code")

    assert (git(repository, "for-each-ref"), git(repository, "worktree", "list")) == before


@pytest.mark.usefixtures("repository")
def test_no_hook_runs(tmp_path, monkeypatch):
    """A hook of the user's git could do anything."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "post-checkout").chmod(0o755)
    (tmp_path / "gitconfig").write_text(f"[core]\nhooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    known = recorded(tmp_path / "ledger")

    materialize(tmp_path / "ledger", known, tmp_path / "code")

    assert not (tmp_path / "ran").exists()


def test_a_changed_patch_is_refused(repository, tmp_path):
    """Code that nobody recorded is not run as if it had been."""
    root = tmp_path / "ledger"
    (repository / "code.py").write_text("answer = 42\n")
    known = recorded(root)
    path = store.path_of(root, known["git"]["artifacts"]["patch"])
    path.chmod(0o644)
    path.write_text(path.read_text().replace("42", "43"))

    with pytest.raises(IntegrityError, match="artifact was changed"):
        materialize(root, known, tmp_path / "code")


def test_a_patch_of_another_commit_is_refused(repository, tmp_path):
    """A patch that does not apply says so, and nothing runs."""
    root = tmp_path / "ledger"
    (repository / "code.py").write_text("answer = 42\n")
    known = recorded(root)
    git(repository, "commit", "--quiet", "--all", "--message", "second")
    known["git"]["commit"] = git(repository, "rev-parse", "HEAD")

    with pytest.raises(RunError, match="git apply failed"):
        materialize(root, known, tmp_path / "code")


def test_stored_sources_come_back_beside_the_packages_other_files(tmp_path):
    """Where no commit held the package, its own archive does."""
    root = tmp_path / "ledger"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("__init__.py")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"x=1"))
    stored = store.put_bytes(root, buffer.getvalue())
    known = {"source": {"artifacts": {"source": stored.sha256}}}

    code = materialize(root, known, tmp_path / "code")

    assert sources(tmp_path / "code") == {"repro/__init__.py": "x=1"}
    assert list((tmp_path / "code" / "repro").rglob("*.safetensors"))
    assert code.folder == tmp_path / "code"


def test_an_archive_cannot_leave_the_folder(tmp_path):
    """A path that climbs is refused."""
    root = tmp_path / "ledger"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside.py"), io.BytesIO())
    stored = store.put_bytes(root, buffer.getvalue())
    known = {"source": {"artifacts": {"source": stored.sha256}}}

    with pytest.raises(IntegrityError, match="outside"):
        materialize(root, known, tmp_path / "code")


@pytest.mark.usefixtures("repository")
def test_code_that_is_not_at_hand_is_said_to_be_another(tmp_path):
    """The installed package runs, and the origin says so."""
    known = {"git": {"commit": "c" * 40, "holds_package": True, "artifacts": {}}}

    code = materialize(tmp_path / "ledger", known, tmp_path / "code")

    assert code.folder is None
    assert "not at hand" in code.origin
