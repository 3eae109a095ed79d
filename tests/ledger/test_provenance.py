"""What is recorded about code and machine."""

import importlib.metadata
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import repro
from repro import digest
from repro.ledger import provenance, store
from repro.ledger.records import Artifact, Provenance

CHECKOUT = (Path(__file__).parents[2] / ".git").exists()
IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@b")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", folder, *IDENTITY, *arguments], check=True, capture_output=True)


@pytest.fixture(autouse=True)
def _new_process() -> None:
    """Forget what is found out once a process."""
    for each in vars(provenance).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()


@pytest.fixture
def repository(tmp_path) -> Path:
    """A repository with one commit."""
    folder: Path = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "--initial-branch=main")
    (folder / "a.py").write_text("x = 1\n", "utf-8")
    git(folder, "add", "a.py")
    git(folder, "commit", "-m", "one")
    git(folder, "remote", "add", "origin", "https://me:geheim@host/code.git")
    return folder


def captured(root: Path, cwd: Path) -> tuple[dict[str, Provenance], dict[str, Artifact]]:
    """Provenance by provider and artifacts by role."""
    records = provenance.capture(root, cwd=cwd)
    told = {each.provider: each for each in records if isinstance(each, Provenance)}
    return told, {each.role: each for each in records if isinstance(each, Artifact)}


def test_a_clean_repository_needs_no_patch(tmp_path, repository):
    """A commit says it all where nothing differs from it."""
    told, artifacts = captured(tmp_path / "ledger", repository)

    git_ = told["git"]
    assert (git_.status, git_.value["dirty"], git_.value["branch"]) == ("ok", False, "main")
    assert len(git_.value["commit"]) == 40
    assert git_.value["remote"] == "https://host/code.git"
    assert set(artifacts) == {"source"}


def test_uncommitted_changes_are_kept(tmp_path, repository):
    """What differs from the commit is stored as a patch that gives the same files again."""
    folder = repository / "deep"
    folder.mkdir()
    (repository / "a.py").write_text("x = 2\n", "utf-8")

    told, artifacts = captured(tmp_path / "ledger", folder)

    assert told["git"].value["dirty"] is True
    patch = store.check(tmp_path / "ledger", artifacts["patch"].sha256)
    git(repository, "checkout", "a.py")
    git(repository, "apply", str(patch))
    assert (repository / "a.py").read_text("utf-8") == "x = 2\n"


def test_untracked_sources_are_kept(tmp_path, repository):
    """Sources that git does not know are stored; other files, ignored ones and secrets are not."""
    for name in ("new.py", "data.bin", "ignored.py", "secrets.toml", "Größe.py"):
        (repository / name).write_text(name, "utf-8")
    (repository / ".gitignore").write_text("ignored.py\n", "utf-8")
    (repository / "big.py").write_bytes(b"#" * (provenance.MAX_UNTRACKED_BYTES + 1))
    (repository / "link.py").symlink_to("/etc/hostname")

    told, artifacts = captured(tmp_path / "ledger", repository)

    data = store.check(tmp_path / "ledger", artifacts["untracked"].sha256).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert sorted(archive.getnames()) == ["Größe.py", "new.py"]
    assert told["git"].status == "partial"
    assert "big.py" in told["git"].reason
    assert "secrets.toml" in told["git"].reason


def test_equal_sources_give_equal_artifacts(tmp_path, repository):
    """The archive of untracked sources depends on names and bytes only."""
    (repository / "new.py").write_text("x", "utf-8")
    _, first = captured(tmp_path / "ledger", repository)
    os.utime(repository / "new.py", (0, 0))
    _, second = captured(tmp_path / "ledger", repository)

    assert first["untracked"].sha256 == second["untracked"].sha256


def test_a_patch_too_large_is_said(tmp_path, repository, monkeypatch):
    """What is not stored is recorded as not stored."""
    monkeypatch.setattr(provenance, "MAX_PATCH_BYTES", 10)
    (repository / "a.py").write_text("x = 2\n", "utf-8")

    told, artifacts = captured(tmp_path / "ledger", repository)

    assert (told["git"].status, told["git"].value["dirty"]) == ("partial", True)
    assert set(artifacts) == {"source"}


def test_a_repository_without_a_commit(tmp_path):
    """Before the first commit there is none to name."""
    git(tmp_path, "init")

    told, _ = captured(tmp_path / "ledger", tmp_path)

    assert told["git"].value["commit"] is None
    assert "no commit" in told["git"].reason


def test_no_repository(tmp_path):
    """Outside of any repository git is unavailable, and says why."""
    told, _ = captured(tmp_path / "ledger", tmp_path)

    assert told["git"].status == "unavailable"
    assert "not a git repository" in told["git"].reason


def test_sources_that_no_commit_holds_are_kept(tmp_path):
    """Where the package is in no repository, its own files are an artifact."""
    told, artifacts = captured(tmp_path / "ledger", tmp_path)

    assert artifacts["source"].sha256 == told["source"].value["artifacts"]["source"]


def test_sources_that_hold_secrets_are_not_kept(tmp_path, monkeypatch):
    """A key in the package itself stays where it is, also where the package is kept whole."""
    package = tmp_path / "repro"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n", "utf-8")
    (package / "upload.py").write_text('API_KEY = "geheim12345"\n', "utf-8")
    monkeypatch.setattr(repro, "__file__", str(package / "__init__.py"))

    told, artifacts = captured(tmp_path / "ledger", tmp_path)

    with tarfile.open(store.check(tmp_path / "ledger", artifacts["source"].sha256)) as archive:
        assert archive.getnames() == ["__init__.py"]
    assert (told["source"].status, told["source"].value["num_files"]) == ("partial", 2)
    assert told["source"].reason == "upload.py: it holds what looks like a secret"


@pytest.mark.skipif(not CHECKOUT, reason="these tests do not run in a git checkout")
def test_sources_that_a_commit_holds_are_not_kept(tmp_path):
    """In the package's own repository the commit and the patch tell the code, if they are whole."""
    told, _ = captured(tmp_path / "ledger", Path(__file__).parent)

    assert told["git"].value["holds_package"]
    assert (told["source"].value["artifacts"] == {}) == (told["git"].status == "ok")


def test_no_git(tmp_path, monkeypatch):
    """On a machine without programs, everything that needs one says so; the rest stands."""
    monkeypatch.setenv("PATH", str(tmp_path))

    told, _ = captured(tmp_path / "ledger", tmp_path)

    assert (told["git"].status, told["gpu"].status) == ("unavailable", "unavailable")
    assert told["python"].status == "ok"


def test_the_machine_is_described(tmp_path):
    """Python, packages, system and processor are recorded."""
    told, _ = captured(tmp_path / "ledger", tmp_path)

    assert told["python"].value["version"] == sys.version.split()[0]
    assert "attrs" in told["packages"].value
    assert told["processor"].value["memory_bytes"] > 0
    assert told["source"].value["sha256"].startswith("sha256:")


def test_only_listed_variables_are_recorded(tmp_path, monkeypatch):
    """A variable is recorded if it can move a number, and no other."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")

    told, _ = captured(tmp_path / "ledger", tmp_path)

    assert told["environment"].value["OMP_NUM_THREADS"] == "2"
    assert "geheim" not in str(told)


def test_a_gpu_is_described(tmp_path, monkeypatch):
    """The graphics processors are those that nvidia-smi names."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 570.1, 143771'\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    told, _ = captured(tmp_path / "ledger", tmp_path)

    assert told["gpu"].value == {
        "gpus": [{"name": "NVIDIA H200", "driver_version": "570.1", "memory_total_mib": "143771"}]
    }


def test_a_program_that_fails_is_a_reason(tmp_path, monkeypatch):
    """A provider that breaks leaves its reason, and the others stand."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    told, _ = captured(tmp_path / "ledger", tmp_path)

    assert told["gpu"].status == "unavailable"
    assert "exit status 9" in told["gpu"].reason


def test_torch_is_asked_only_if_it_is_there(monkeypatch):
    """Without torch in the process its facts are unavailable; nothing is imported for them."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    assert provenance.torch().status == "unavailable"
    assert "torch" not in sys.modules


def test_torch_facts(monkeypatch):
    """Versions and the switches that move numbers are recorded."""
    cudnn = SimpleNamespace(
        version=lambda: 9, deterministic=True, benchmark=False, allow_tf32=False
    )
    matmul = SimpleNamespace(
        allow_tf32=False,
        allow_fp16_reduced_precision_reduction=True,
        allow_bf16_reduced_precision_reduction=True,
    )
    fake = SimpleNamespace(
        __version__="2.13.0",
        cuda=SimpleNamespace(is_available=lambda: False, device_count=lambda: 0),
        version=SimpleNamespace(cuda=None, git_version="0123"),
        backends=SimpleNamespace(
            cudnn=cudnn,
            cuda=SimpleNamespace(matmul=matmul),
            cpu=SimpleNamespace(get_cpu_capability=lambda: "AVX512"),
        ),
        get_num_threads=lambda: 2,
        get_num_interop_threads=lambda: 1,
        are_deterministic_algorithms_enabled=lambda: True,
        get_float32_matmul_precision=lambda: "highest",
        get_default_dtype=lambda: "torch.float32",
    )
    monkeypatch.setitem(sys.modules, "torch", fake)

    told = provenance.torch()

    assert told.status == "ok"
    assert told.value["version"] == "2.13.0"
    assert told.value["deterministic_algorithms"] is True
    assert told.value["matmul_tf32"] is False


def test_lock_files_are_proved(tmp_path, repository):
    """The files that pin the packages are known by their digests, up to the repository's top."""
    (repository.parent / "poetry.lock").write_text("above", "utf-8")
    (repository / "uv.lock").write_text("pinned", "utf-8")
    inner = repository / "inner"
    inner.mkdir()
    (inner / "requirements-dev.txt").write_text("a==1", "utf-8")

    told, _ = captured(tmp_path / "ledger", inner)

    assert told["locks"].value == {
        "uv.lock": digest.sha256(b"pinned"),
        "requirements-dev.txt": digest.sha256(b"a==1"),
    }


def test_no_lock_files(tmp_path):
    """Where nothing pins the packages, that is said."""
    told, _ = captured(tmp_path / "ledger", tmp_path)

    assert (told["locks"].status, "no lock file" in told["locks"].reason) == ("unavailable", True)


def test_a_package_from_a_url_says_so(tmp_path, monkeypatch):
    """Where a package came from, if no index gave it, is recorded without the login."""
    folder = tmp_path / "toy-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: toy\nVersion: 1.0\n", "utf-8")
    url = {"url": "https://me:geheim@host/toy", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}
    (folder / "direct_url.json").write_text(json.dumps(url), "utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    told, _ = captured(tmp_path / "ledger", tmp_path)

    assert told["packages"].value["toy"] == "1.0 @ https://host/toy@c0ffee"


def test_what_cannot_change_is_found_out_once(tmp_path, monkeypatch):
    """A second execution of a process asks neither for packages nor for the machine again."""
    captured(tmp_path / "ledger", tmp_path)
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: pytest.fail("asked again"))

    told, _ = captured(tmp_path / "ledger", tmp_path)

    assert told["packages"].status == "ok"


def test_a_tree_that_moves_is_seen(tmp_path, repository):
    """A second execution of a process sees what was changed since the first."""
    before, _ = captured(tmp_path / "ledger", repository)
    (repository / "a.py").write_text("x = 2\n", "utf-8")

    after, _ = captured(tmp_path / "ledger", repository)

    assert (before["git"].value["dirty"], after["git"].value["dirty"]) == (False, True)


def test_every_provider_is_heard(tmp_path):
    """Whatever there is or is not on a machine, each provider gives one record with its status."""
    records = provenance.capture(tmp_path / "ledger", cwd=tmp_path)

    assert [each.provider for each in records if isinstance(each, Provenance)] == [
        *("git", "source", "command", "locks", "packages", "python", "system", "processor"),
        *("gpu", "environment"),
    ]


def test_changes_of_files_that_hold_secrets_are_not_kept(tmp_path, repository):
    """A patch leaves out what is secret by name or by content, says so, and keeps the rest."""
    (repository / ".env").write_text("A=1\n", "utf-8")
    (repository / "b.py").write_text("y = 1\n", "utf-8")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "two")
    (repository / ".env").write_text("A=geheim\n", "utf-8")
    (repository / "a.py").write_text(f"x = 'ghp_{36 * 'g'}'\n", "utf-8")
    (repository / "b.py").write_text("y = 2\n", "utf-8")

    told, artifacts = captured(tmp_path / "ledger", repository)

    patch = store.locate(tmp_path / "ledger", artifacts["patch"].sha256).read_text("utf-8")
    assert (told["git"].status, told["git"].value["dirty"]) == ("partial", True)
    assert "changes of .env: its name says" in told["git"].reason
    assert "changes of a.py: it holds what looks like a secret" in told["git"].reason
    assert "+y = 2" in patch
    assert "geheim" not in patch
    assert "ghp_" not in patch


def test_untracked_files_that_hold_secrets_are_not_kept(tmp_path, repository):
    """A script with a key in it, and one in a folder of secrets, stay where they are."""
    (repository / "secrets").mkdir()
    (repository / "secrets" / "one.py").write_text("x = 1\n", "utf-8")
    (repository / "deploy.sh").write_text(f"curl -u ghp_{36 * 'g'}\n", "utf-8")

    told, artifacts = captured(tmp_path / "ledger", repository)

    assert "untracked" not in artifacts
    assert "secrets/one.py: its name says that it holds secrets" in told["git"].reason
    assert "deploy.sh: it holds what looks like a secret" in told["git"].reason
