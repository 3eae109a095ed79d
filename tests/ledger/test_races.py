"""Two ways in which DuckDB files lose commits, forced; the next fold heals both.

A stranger (a shell, a notebook) may open the fold's own database at any moment. DuckDB 2.0.0 reads
the headers of a bare path before it holds the lock; and a process that opens the file a second time
as an ordinary one drops its own lock when it closes that.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from repro.ledger import connection, fold
from tests.ledger.ledgers import execute
from tests.ledger.test_fold import content

STALE = """
import sys
import duckdb
print(flush=True)
input()
with duckdb.connect(sys.argv[1]) as stranger:
    stranger.execute("CREATE TABLE graffiti (x INT); INSERT INTO graffiti VALUES (1)")
"""

CAREFUL = """
import sys
from pathlib import Path
from repro.ledger.connection import connect
print(flush=True)
input()
with connect(Path(sys.argv[1]), read_only=False) as stranger:
    stranger.execute("CREATE TABLE graffiti (x INT); INSERT INTO graffiti VALUES (1)")
"""

LOCKLESS = """
import sys
import duckdb
with duckdb.connect(f"duckdb:{sys.argv[1]}") as stranger:
    open(sys.argv[1], "rb").close()
    print(flush=True)
    input()
    stranger.execute("CREATE TABLE graffiti (x INT); INSERT INTO graffiti VALUES (1)")
"""


pytestmark = pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="needs file leases")


@contextlib.contextmanager
def stopped_before_writing(code: str, path: Path) -> Iterator[None]:
    """While the block runs, a stranger stands still just where it opens a file to write to it.

    A lease on a file makes the kernel hold whoever opens it for writing, and tell the lessee.
    """
    told: list[int] = []
    before = signal.signal(signal.SIGIO, lambda number, _: told.append(number))
    stranger = begun(code, path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        go_on(stranger)
        deadline = time.monotonic() + 30
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
        assert told
        stranger.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, stranger.pid, os.WSTOPPED | os.WNOWAIT)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        stranger.kill()
        stranger.communicate()
        pytest.skip("this file system has no leases")
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)
    yield
    stranger.send_signal(signal.SIGCONT)
    stranger.communicate(timeout=30)
    assert stranger.returncode == 0


def begun(code: str, path: Path) -> "subprocess.Popen[bytes]":
    """A stranger that has said that it is ready."""
    stranger = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert stranger.stdout
    stranger.stdout.readline()
    return stranger


def go_on(stranger: "subprocess.Popen[bytes]") -> None:
    assert stranger.stdin
    stranger.stdin.write(b"\n")
    stranger.stdin.flush()


def folded_records(root: Path) -> int:
    """How many records the fold's database holds, which nobody has open just now."""
    with connection.connect(connection.index_path(root), read_only=True) as database:
        return sum(tip.seq for tip in fold.tips(database).values())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A ledger with one execution that was folded, and one that was not yet."""
    execute(tmp_path, "one")
    fold.fold(tmp_path)
    execute(tmp_path, "two")
    return tmp_path


def healed(root: Path) -> bool:
    """Whether one more fold gives what a database made anew has."""
    fold.fold(root)
    found = content(root)
    fold.rebuild(root)
    return found == content(root)


def test_a_commit_lost_to_a_stale_header_is_folded_again(root):
    """A stranger that read the headers before a fold, and writes after it, undoes the fold."""
    with stopped_before_writing(STALE, connection.index_path(root)):
        fold.fold(root)
        assert folded_records(root) == 24

    if duckdb.__version__ == "2.0.0":
        assert folded_records(root) == 12
    assert healed(root)


def test_our_way_of_opening_has_no_stale_header(root):
    """What opens a database as the fold does, at the same moment, undoes nothing."""
    with stopped_before_writing(CAREFUL, connection.index_path(root)):
        fold.fold(root)

    assert folded_records(root) == 24
    assert healed(root)


def test_a_commit_lost_to_a_dropped_lock_is_folded_again(root):
    """A stranger that dropped its lock by opening the file once more undoes a fold."""
    stranger = begun(LOCKLESS, connection.index_path(root))
    fold.fold(root)
    assert folded_records(root) == 24
    stranger.communicate(b"\n", timeout=30)
    assert stranger.returncode == 0

    assert folded_records(root) == 12
    assert healed(root)


def test_a_stranger_with_the_lock_keeps_the_fold_out_for_a_moment_only(root):
    """While somebody holds the fold's database open, the fold makes another and publishes it."""
    code = LOCKLESS.replace('open(sys.argv[1], "rb").close()', "")
    stranger = begun(code, connection.index_path(root))

    fold.fold(root)

    assert folded_records(root) == 24
    stranger.kill()
    stranger.communicate()
    assert healed(root)
