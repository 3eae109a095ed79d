"""Disks that are full, and folders that cannot be written."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repro.errors import LedgerError
from repro.ledger import query, store, verify
from repro.ledger.fold import fold, rebuild
from tests.ledger.crashes import small_disk, suites
from tests.ledger.crashes.faults import limited_files
from tests.ledger.crashes.nursery import REPOSITORY
from tests.ledger.ledgers import execute


@pytest.mark.parametrize(
    ("victim", "fault", "calls"),
    [
        ("write once", "full", range(0, 100, 13)),
        ("write once", "full once", range(9, 50, 7)),
        ("keep once", "full", range(10, 100, 9)),
        ("fold once", "full", range(12, 100, 7)),
        ("collect once", "full", range(62, 200, 17)),
    ],
)
def test_a_disk_that_is_full_from_some_call_on(tmp_path, victim, fault, calls):
    """Whichever call finds no space says so clearly; nothing is lost, and work goes on."""
    tally = suites.met_at_calls(tmp_path, victim, fault, calls=calls)

    assert tally.wrong == []
    assert tally.moments > 1


@pytest.mark.parametrize("victim", ["write", "keep", "fold", "collect"])
def test_a_disk_that_is_really_full(tmp_path, victim):
    """Whatever writes, DuckDB too, finds no space; nothing is lost, and work goes on."""
    if not small_disk.available(tmp_path):
        pytest.skip("no disk can be mounted here")

    assert small_disk.filled(tmp_path, victim, free_bytes=[0, 300_000]).wrong == []


@pytest.mark.parametrize("size_bytes", [0, 4096, 100_000, 600_000])
def test_a_fold_without_space_harms_nothing(tmp_path, size_bytes):
    """The last answer stands until there is space, with a word about what it lacks."""
    execute(tmp_path, "one")
    fold(tmp_path)
    execute(tmp_path, "two")
    with limited_files(size_bytes):
        with pytest.raises(LedgerError, match=r"; free space or fix access, then run again"):
            rebuild(tmp_path)
        answer = query(tmp_path, "SELECT title FROM starts")
    later = query(tmp_path, "SELECT title FROM starts ORDER BY execution_id")

    assert (answer.rows, len(answer.warnings)) == ((("one",),), 1)
    assert (later.rows, later.warnings) == ((("one",), ("two",)), ())
    assert verify(tmp_path) == []


@pytest.mark.parametrize("size_bytes", [0, 4096, 100_000])
def test_a_first_question_without_space_has_its_answer(tmp_path, size_bytes):
    """Where no database can be made, the segments answer, with a word about what failed."""
    execute(tmp_path, "one")
    with limited_files(size_bytes):
        answer = query(tmp_path, "SELECT title FROM starts")
        findings = verify(tmp_path)
    later = query(tmp_path, "SELECT title FROM starts")

    assert findings == []
    assert answer.rows == later.rows == (("one",),)
    assert len(answer.warnings) == 1
    assert "; free space or fix access, then run again" in answer.warnings[0]
    assert later.warnings == ()


@pytest.mark.parametrize("how", ["bytes", "file"])
def test_an_artifact_without_space_is_not_stored(tmp_path, how):
    """An artifact that does not fit is refused and leaves nothing; later it fits."""
    data, source = bytes(50_000), tmp_path / "source"
    source.write_bytes(data)

    def put() -> store.Stored:
        by_bytes = how == "bytes"
        return store.put_bytes(tmp_path, data) if by_bytes else store.put_file(tmp_path, source)

    with (
        limited_files(40_000),
        pytest.raises(LedgerError, match=r"not stored: .*; free space or fix access"),
    ):
        put()
    assert list((tmp_path / "objects").iterdir()) == []
    assert store.check(tmp_path, put().sha256).read_bytes() == data


READING = """
import json, sys
from pathlib import Path
from repro.ledger import describe, head, query, verify
root = Path(sys.argv[1])
table = query(root, "SELECT title FROM starts ORDER BY execution_id")
findings = [str(each) for each in verify(root)]
described = describe(root, sys.argv[2])["title"]
print(json.dumps([table.rows, table.warnings, findings, described, head(root)]))
"""

WRITING = """
import json, sys
from pathlib import Path
from repro.errors import LedgerError
from repro.ledger import gc, rebuild, segment, store
from repro.ledger.records import Start
root = Path(sys.argv[1])
said = []
for write in (
    lambda: segment.begin(root, Start(purpose="run")),
    lambda: store.put_bytes(root, b"new"),
    lambda: rebuild(root),
    lambda: gc.collect(root, delete=True),
):
    try:
        write()
    except LedgerError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def without_power(program: str, *arguments: object) -> Any:
    """What a program prints that may not write where modes forbid it."""
    powerless = [sys.executable, "-m", "tests.ledger.crashes.powerless", "-c", program]
    ran = subprocess.run(
        [*powerless, *map(str, arguments)], stdout=subprocess.PIPE, cwd=REPOSITORY, check=True
    )
    return json.loads(ran.stdout)


def protect(root: Path) -> None:
    """Let nobody write a folder or anything in it."""
    for path in (root, *root.rglob("*")):
        path.chmod(path.stat().st_mode & 0o555)
    assert without_power("import os, sys; print(int(os.access(sys.argv[1], os.W_OK)))", root) == 0


@pytest.mark.parametrize("database", ["whole", "behind", "none"])
def test_a_folder_that_cannot_be_written_is_read(tmp_path, database):
    """Every question has its answer, also from segments alone; an old answer says that it is."""
    root = tmp_path / "ledger"
    execution_id = execute(root, "one")
    if database != "none":
        fold(root)
    if database == "behind":
        execute(root, "two")
    protect(root)

    rows, warnings, findings, described, head = without_power(READING, root, execution_id)
    assert (rows, findings, described) == ([["one"]], [], "one")
    assert head.startswith("sha256:")
    assert len(warnings) == (database == "behind")


def test_a_folder_that_cannot_be_written_says_why_not(tmp_path):
    """Whatever wants to write is told what forbids it and what to do, and changes nothing."""
    root = tmp_path / "ledger"
    execute(root)
    fold(root)
    protect(root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}

    said = without_power(WRITING, root)

    assert len(said) == 4
    assert all(
        str(root) in each and "Permission denied; free space or fix access" in each for each in said
    )
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
