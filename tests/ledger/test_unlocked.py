"""A shared folder without locks: everything works, as DuckDB never gets to see it."""

import errno
import os
import shutil
import stat
import subprocess
import sys

import pytest

from repro.errors import LedgerError
from repro.ledger import connection, query, verify
from repro.ledger.fold import fold
from tests.ledger.ledgers import execute

COMPILER = shutil.which("cc")
NO_LOCKS = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Every lock fails in the folder whose path UNLOCKED is the beginning of. */
static int fails(int fd, int command) {
  char link[64], path[4096];
  const char *unlocked = getenv("UNLOCKED");
  if (command != F_SETLK && command != F_SETLKW && command != F_GETLK) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path);
  return size > 0 && strncmp(path, unlocked, strlen(unlocked)) == 0;
}
static int control(int fd, int command, void *argument) {
  if (fails(fd, command)) { errno = ENOLCK; return -1; }
  return syscall(SYS_fcntl, fd, command, argument);
}
int fcntl(int fd, int command, ...) {
  va_list all; va_start(all, command); void *argument = va_arg(all, void *); va_end(all);
  return control(fd, command, argument);
}
int fcntl64(int fd, int command, ...) {
  va_list all; va_start(all, command); void *argument = va_arg(all, void *); va_end(all);
  return control(fd, command, argument);
}
int flock(int fd, int operation) { errno = ENOLCK; return -1; }
"""
ASK = """
import sys
from pathlib import Path
from repro.ledger import query, verify
root = Path(sys.argv[1])
print(query(root, "SELECT count(*) FROM starts").rows[0][0], verify(root))
"""


@pytest.fixture
def unlocked(tmp_path, monkeypatch):
    """A ledger in a folder without locks, and another place for what must be locked."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "machine"))
    monkeypatch.setattr(connection, "_lockable", lambda root: "machine" in root.parts)
    (tmp_path / "machine").mkdir()
    return tmp_path / "shared"


def test_the_index_lies_on_the_machine(unlocked):
    """The shared folder holds the published copy alone, and rows arrive as elsewhere."""
    execute(unlocked)
    execute(unlocked)

    assert query(unlocked, "SELECT count(*) FROM starts").rows == ((2,),)
    assert not (unlocked / ".index.duckdb").exists()
    folded = fold(unlocked)
    assert folded
    assert folded.num_records == 0
    assert verify(unlocked) == []


def test_a_reader_leaves_nothing_behind(unlocked):
    """The copy that a reader opens is gone when it is open."""
    execute(unlocked)
    query(unlocked, "SELECT 1 AS one")

    (mine,) = (unlocked.parent / "machine").iterdir()

    assert mine.name == f"repro-{os.getuid()}"


def test_two_ledgers_have_two_indexes(unlocked):
    """What belongs to one ledger is not put into another."""
    assert connection.index_path(unlocked) != connection.index_path(unlocked.parent)


def test_a_place_of_another_user_is_refused(unlocked, monkeypatch):
    """A folder that somebody else prepared under our name is not trusted."""
    elsewhere = unlocked.parent / "elsewhere"
    elsewhere.mkdir()
    (unlocked.parent / "machine" / f"repro-{os.getuid()}").symlink_to(elsewhere)

    with pytest.raises(LedgerError, match="belongs to another user"):
        connection.index_path(unlocked)


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
def test_a_folder_whose_locks_fail_is_recognised(tmp_path):
    """Where the system refuses every lock, SQL and verify answer as elsewhere."""
    root, library = tmp_path / "shared", tmp_path / "no_locks.so"
    execute(root)
    includes = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
    subprocess.run(
        [str(COMPILER), "-shared", "-fPIC", "-x", "c", "-", "-o", library],
        input=(includes + NO_LOCKS).encode(),
        check=True,
    )
    machine = tmp_path / "machine"
    machine.mkdir()
    switched = {"LD_PRELOAD": str(library), "UNLOCKED": str(root), "TMPDIR": str(machine)}

    answer = subprocess.run(
        [sys.executable, "-c", ASK, root],
        env={**os.environ, **switched},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (answer.stdout, answer.returncode) == ("1 []\n", 0), answer.stderr
    assert list(machine.rglob(".index.duckdb"))
    assert not (root / ".index.duckdb").exists()


def test_a_folder_that_cannot_sync_names_is_written(tmp_path, monkeypatch):
    """Some network file systems refuse that call; that a file cannot be synced is an error."""
    sync = os.fsync

    def refusing(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr("os.fsync", refusing)
    execute(tmp_path)
    fold(tmp_path)

    assert verify(tmp_path) == []

    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EINVAL, "no")))
    with pytest.raises(LedgerError, match="no; free space or fix access"):
        execute(tmp_path, "two")
