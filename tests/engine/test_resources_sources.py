"""Package clients: fakes on the path stand for npm, apt-get and pip."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from repro.engine.progress import Silent
from repro.engine.resources import Source
from repro.engine.resources.sources import DebianPackage, Download, NpmPackage, PythonWheel
from repro.errors import ResourceError

CASES = [
    pytest.param("npm", NpmPackage("tiny@1.0"), "tiny-1.0.tgz", id="npm"),
    pytest.param("apt-get", DebianPackage("tiny"), "tiny_1.deb", id="apt"),
    pytest.param("python", PythonWheel("tiny==1.0"), "tiny-1.0.whl", id="pip"),
]

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a shell script where a client is looked for; no other client is found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name: str, script: str) -> None:
        client = folder / name
        client.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        client.chmod(0o755)
        if name == "python":
            monkeypatch.setattr(sys, "executable", str(client))

    return write


def obtain(source: Source, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return source.obtain(folder, track=Silent().track)


@pytest.mark.parametrize(("client", "source", "file"), CASES)
def test_client_leaves_one_file(
    client: str, source: Source, file: str, install: Install, tmp_path: Path
) -> None:
    """What the client leaves in its folder is what the source gives."""
    install(client, f"echo content > {tmp_path}/box/{file}")

    brought = obtain(source, tmp_path / "box")

    assert brought == tmp_path / "box" / file


@pytest.mark.parametrize(("client", "source", "file"), CASES)
def test_client_is_called_for_this_package(
    client: str, source: Source, file: str, install: Install, tmp_path: Path
) -> None:
    """The client is asked for the package of the label, and never to run anything of it."""
    install(client, f'echo "$@" > {tmp_path}/box/{file}')

    words = obtain(source, tmp_path / "box").read_text(encoding="utf-8").split()

    assert words[-1] == source.label.split()[-1]
    assert {"--ignore-scripts", ":all:", "download"} & set(words)


@pytest.mark.parametrize(("client", "source", "file"), CASES[:2])
def test_missing_client_is_said(
    client: str, source: Source, file: str, install: Install, tmp_path: Path
) -> None:
    """A client that is not installed is named."""
    with pytest.raises(ResourceError, match=f"{client} is not installed"):
        obtain(source, tmp_path / "box")


def test_environment_without_pip_uses_the_one_on_the_path(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interpreter without pip falls back on a pip elsewhere."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    install("pip", f"echo content > {tmp_path}/box/tiny.whl")

    brought = obtain(PythonWheel("tiny==1.0"), tmp_path / "box")

    assert brought.name == "tiny.whl"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("npm warn old; npm error code E404", "npm error code E404"),
        ("W: unsandboxed;E: Unable to locate package tiny", "E: Unable to locate package tiny"),
        ("something odd", "something odd"),
        ("", "it said nothing"),
        ("error: no answer from https://me:secret@host/x", "error: no answer from https://host/x"),
    ],
)
def test_failing_client_is_quoted(said: str, shown: str, install: Install, tmp_path: Path) -> None:
    """The error shows the client's complaint, without the passwords of URLs."""
    lines = "; ".join(f"echo '{line.strip()}' >&2" for line in said.split(";") if line)
    install("npm", f"{lines or ':'}; exit 3")

    with pytest.raises(ResourceError) as caught:
        obtain(NpmPackage("tiny@1.0"), tmp_path / "box")

    assert str(caught.value) == f"it ended with status 3 and 0 files: {shown}"


def test_client_that_brings_nothing_is_a_failure(install: Install, tmp_path: Path) -> None:
    """Success without a file is no success."""
    install("npm", "exit 0")

    with pytest.raises(ResourceError, match="status 0 and 0 files"):
        obtain(NpmPackage("tiny@1.0"), tmp_path / "box")


def test_leftovers_of_an_earlier_attempt_do_not_count(install: Install, tmp_path: Path) -> None:
    """Only what this call brought is taken."""
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "old.tgz").write_bytes(b"half")
    install("npm", f"echo content > {tmp_path}/box/new.tgz")

    assert obtain(NpmPackage("tiny@1.0"), tmp_path / "box").name == "new.tgz"


def test_client_that_cannot_be_run_is_said(install: Install, tmp_path: Path) -> None:
    """A client that is no program is named with the system's reason."""
    install("npm", "")
    (tmp_path / "bin" / "npm").write_bytes(b"\x7fnot a program")

    with pytest.raises(ResourceError, match="npm could not be run"):
        obtain(NpmPackage("tiny@1.0"), tmp_path / "box")


def test_label_of_one_file_is_its_url() -> None:
    """A person can paste the label of a single file into a browser."""
    labels = [Download("http://x/", ("a",)).label, Download("http://x/", ("a", "b")).label]

    assert labels == ["http://x/a", "http://x/"]
