"""Secrets that lie about where an experiment is run are in nothing that it leaves."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from repro.ledger import query
from tests.engine import tiny
from tests.engine.test_stages import EVALUATED

PLANTED = "geheim"
"""In every planted secret, and in the name of the home folder."""
KEY = f"ghp_{PLANTED}{30 * 'k'}"
SECRETS = {
    "HF_TOKEN": f"{PLANTED}-token",
    "AWS_SECRET_ACCESS_KEY": f"{PLANTED}-aws",
    "PIP_INDEX_URL": f"https://me:{PLANTED}@host/simple",
    "DATABASE_URL": f"postgresql://me:{PLANTED}@host/db",
}
CLAIMS = """
schema = 1
title = "toy"

[specs.tiny]
path = "../../specs/toy/tiny.toml"

[[claims]]
kind = "comparison"
name = "better-than-noise"
text = "The trained network is nearer to the digits than noise."
metric = "fid"
left = "tiny:ddim@12"
relation = "less"
right = "tiny:noise"
"""
DAMAGED = tiny.DENOISE.replace(
    'kind = "digits"', f'kind = "tensor-file"\npath = "DATA"\ndigest = "sha256:{64 * "0"}"'
)


class Place:
    """A home folder with a project in it, and the commands that are run there."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / f"{PLANTED}-home"
        self.project = self.home / "project"
        self.environment: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "OMP_NUM_THREADS": "1",
            **SECRETS,
        }

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def git(self, *arguments: str) -> None:
        self._call("git", "-c", "user.name=A", "-c", "user.email=a@b", *arguments)

    def repro(self, *arguments: str, status: int = 0) -> str:
        places = ("--ledger", f"{self.project}/ledger", "--cache", f"{self.home}/cache")
        done = self._call(sys.executable, "-m", "repro", *places, *arguments, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout

    def _call(self, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=self.project,
            env=self.environment,
            check=check,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A project in which secrets lie everywhere, after all that can be done with it."""
    place = Place(tmp_path_factory.mktemp("secrets"))
    place.write("project/specs/toy/tiny.toml", EVALUATED)
    place.write("project/reports/toy/claims.toml", CLAIMS)
    place.write("project/.gitignore", "ledger\nreports\n")
    place.write("project/model.py", "x = 1\n")
    place.write("project/.env", "A=1\n")
    place.write("project/config.py", "KEY = None\n")
    place.write("project/connect.py", "PASSWORD = None\n")
    place.git("init")
    place.git("add", ".")
    place.git("commit", "-m", "one")
    url = f"https://me:p@{PLANTED}@host/code.git?private_token={PLANTED}"
    place.git("remote", "add", "origin", url)
    place.write("project/model.py", "x = 2\n")
    place.write("project/.env", f"A={PLANTED}\n")
    place.write("project/config.py", f"KEY = {KEY!r}\n")
    place.write("project/connect.py", f'PASSWORD = "{PLANTED}-plain"\n')
    place.write("project/deploy.py", f"key = {KEY!r}\n")
    place.write("project/secrets.toml", f'a = "{PLANTED}"\n')
    place.write("project/.netrc", f"machine host login me password {PLANTED}\n")
    place.write("project/requirements.txt", f"--index-url https://me:{PLANTED}@host\n")
    place.write("tiny.toml", tiny.DENOISE)
    data = place.write("data.safetensors", "no tensors")
    place.write("damaged.toml", DAMAGED.replace("DATA", str(data)))
    _used(place)
    return place


def _used(place: Place) -> None:
    texts = (
        f"notes=see https://me:{PLANTED}@host",
        f"notes={SECRETS['HF_TOKEN']}",
        f"title=with {SECRETS['HF_TOKEN']}",
    )
    overrides = [word for each in texts for word in ("--set", each)]
    outcome = place.repro("run", "specs/toy/tiny.toml", *overrides, "--json")
    place.repro("run", f"{place.home}/tiny.toml")
    place.repro("run", "../damaged.toml", status=1)
    place.repro("report", "toy")
    run_id = json.loads(outcome)[0]["run_id"]
    place.repro("bundle", run_id, "--out", f"{place.home}/bundle")
    place.repro("ledger", "head")
    for path in (place.project / "ledger" / "objects").rglob("*"):
        if path.is_file() and b"pool3" in path.read_bytes()[:4096]:
            path.unlink()  # so that a rule refuses for what is missing, and says where
    place.repro("report", "toy")
    place.repro("gc", "--report", "reports/store.md")


@pytest.mark.parametrize("left", ["project/ledger", "project/reports", "bundle"])
def test_no_file_holds_a_secret(place, left):
    """Segments, artifacts, databases, pages and bundles hold no secret and no home folder."""
    files = [path for path in (place.home / left).rglob("*") if path.is_file()]

    holding = [str(path) for path in files if PLANTED.encode() in path.read_bytes()]

    assert (len(files) > 1, holding) == (True, [])


def test_no_table_holds_a_secret(place):
    """Nor does the database, however it stores its text."""
    root = place.project / "ledger"
    tables = [str(row[0]) for row in query(root, "SELECT table_name FROM duckdb_tables()").rows]

    rows = {table: query(root, f"SELECT * FROM {table}").rows for table in tables}

    assert [table for table in tables if PLANTED in str(rows[table])] == []
    assert len(rows["starts"]) == 5


def test_what_is_no_secret_is_there(place):
    """What was planted was seen: it is left out, and that is said."""
    root = place.project / "ledger"
    status, reason, value = query(
        root, "SELECT status, reason, value FROM provenance WHERE provider = 'git' LIMIT 1"
    ).rows[0]
    studies = query(root, "SELECT DISTINCT study FROM starts ORDER BY ALL").rows
    ((error,),) = query(root, "SELECT error FROM seals WHERE outcome = 'failed'").rows

    assert status == "partial"
    assert all(
        each in reason for each in (".env", "config.py", "connect.py", "deploy.py", "secrets.toml")
    )
    assert json.loads(value)["remote"].startswith("https://host/code.git")
    assert studies == (("toy",), ("~",))
    assert "~/data.safetensors" in error
