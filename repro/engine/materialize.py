"""The code of an earlier execution, put into a folder again, to be run from there.

Git's commit with the patch and the sources that no commit held; or the package's own sources, where
they were stored because no commit told them. Where neither can be had, the installed package runs;
the digests of both sources tell whether that is the same code.
"""

import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

import repro
from repro.errors import IntegrityError, RunError
from repro.ledger import store

_PACKAGE = Path(repro.__file__).parent


@frozen(kw_only=True)
class Code:
    """Where to import `repro` from (nowhere else than now, if none), and which code that is."""

    folder: Path | None
    origin: str


def materialize(root: Path, known: Mapping[str, Mapping[str, Any]], folder: Path) -> Code:
    """The code that an execution ran; *known* is what it recorded, by provider.

    Raises:
        RunError: the commit is here, but it or its patch cannot be put into the folder.
        IntegrityError: the patch or the sources are missing or were changed.
    """
    git, source = known.get("git", {}), known.get("source", {})
    commit = git.get("commit")
    repository = _repository_with(commit) if commit and git.get("holds_package") else None
    if repository is not None:
        _check_out(repository, folder, git)
        _add_what_was_not_committed(root, folder, git.get("artifacts", {}))
        patched = " and its patch" if git.get("dirty") else ""
        return Code(folder=folder, origin=f"commit {commit}{patched}")
    stored = source.get("artifacts", {}).get("source")
    if stored is not None:
        shutil.copytree(_PACKAGE, folder / "repro", ignore=shutil.ignore_patterns("*.py", "*.pyc"))
        _extract(store.check(root, stored), folder / "repro")
        return Code(folder=folder, origin="the sources that the execution stored")
    return Code(folder=None, origin="the installed package: the recorded code is not at hand")


def _repository_with(commit: str) -> Path | None:
    """A repository here that has a commit: the package's own, or that of the working folder."""
    for folder in (_PACKAGE, Path.cwd()):
        try:
            _git(folder, "cat-file", "-e", f"{commit}^{{commit}}")
            return Path(_git(folder, "rev-parse", "--show-toplevel").strip())
        except (RunError, FileNotFoundError):
            continue
    return None


def _check_out(repository: Path, folder: Path, git: Mapping[str, Any]) -> None:
    """A clone of its own at the commit, with the names that the execution recorded."""
    _git(repository, "clone", "--quiet", "--shared", "--no-checkout", ".", str(folder.absolute()))
    branch = ("-B", git["branch"]) if git.get("branch") else ("--detach",)
    _git(folder, "checkout", "--quiet", *branch, git["commit"])
    if git.get("remote"):
        _git(folder, "remote", "set-url", "origin", git["remote"])
    else:
        _git(folder, "remote", "remove", "origin")


def _add_what_was_not_committed(root: Path, folder: Path, stored: Mapping[str, str]) -> None:
    if "patch" in stored:
        patch = store.check(root, stored["patch"]).absolute()
        _git(folder, "apply", "--index", "--binary", "--whitespace=nowarn", str(patch))
    if "untracked" in stored:
        _extract(store.check(root, stored["untracked"]), folder)


def _extract(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise IntegrityError(f"{archive}: cannot be unpacked here: {error}") from error


def _git(folder: Path, *arguments: str) -> str:
    """What git says; it runs no hook and asks nothing.

    Raises:
        RunError: it failed.
    """
    command = ["git", "-c", "core.hooksPath=/dev/null", "-C", str(folder), *arguments]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise RunError(f"{folder}: git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout
