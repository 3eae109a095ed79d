"""One holder at a time, whoever dies, sleeps or comes late."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from repro.errors import LedgerError
from repro.ledger import lease as leases
from repro.ledger.lease import Holder, LeaseHeldError, heartbeat, holder_of, lease, left_behind

KEY = "stage"


def numbers(root: Path) -> list[int]:
    """The numbers that a key has now."""
    return sorted(int(path.name) for path in (root / "leases" / KEY).iterdir())


def silence(path: Path, *, seconds: float = leases.LEASE_S + 10) -> None:
    """Let a file look as if nobody had touched it for so long."""
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A lease that another machine holds, alive."""
    with ExitStack() as stack:
        with monkeypatch.context() as there:
            there.setattr("platform.node", lambda: "elsewhere")
            held = stack.enter_context(lease(tmp_path, KEY, execution_id="theirs"))
        yield held


def test_a_key_is_held_while_the_block_lasts(tmp_path):
    """Who holds a key can be asked; afterwards nobody does."""
    with lease(tmp_path, KEY, execution_id="ours") as held:
        holder = holder_of(tmp_path, KEY)
        assert held.held()

    assert holder
    assert (holder.execution_id, holder.process and holder.process.pid) == ("ours", os.getpid())
    assert holder_of(tmp_path, KEY) is None
    assert holder_of(tmp_path, "another") is None


def test_another_does_not_get_what_is_held(tmp_path):
    """Even the same process cannot hold a key twice; the message says who holds it."""
    with (
        lease(tmp_path, KEY, execution_id="ours"),
        pytest.raises(LeaseHeldError, match=rf"{KEY}: execution ours \(process {os.getpid()} on "),
        lease(tmp_path, KEY, wait_s=0),
    ):
        pass

    assert numbers(tmp_path) == [1]


def test_keys_do_not_wait_for_each_other(tmp_path):
    """Two keys are two things."""
    with lease(tmp_path, KEY, wait_s=0), lease(tmp_path, "another", wait_s=0) as held:
        assert held.held()


def test_who_waits_gets_it_and_hears_once_for_whom_it_waited(tmp_path):
    """The key goes to who waits, as soon as it is given back."""
    heard: list[Holder] = []
    waiting = threading.Event()

    def told(holder: Holder) -> None:
        heard.append(holder)
        waiting.set()

    def wait() -> None:
        with lease(tmp_path, KEY, on_wait=told) as held:
            heard.append(Holder(execution_id=held.path.name))

    with lease(tmp_path, KEY, execution_id="first"):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waiting.wait(30)
        time.sleep(0.1)  # several looks
    thread.join()

    assert [each.execution_id for each in heard] == ["first", "2"]


CRASH = """
import os, signal, sys
from pathlib import Path
from repro.ledger.lease import lease
with lease(Path(sys.argv[1]), sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_held_is_free_at_once(tmp_path):
    """On its own machine nobody waits for the dead."""
    killed = subprocess.run([sys.executable, "-c", CRASH, tmp_path, KEY], check=False)

    assert killed.returncode == -signal.SIGKILL
    assert holder_of(tmp_path, KEY) is None
    with lease(tmp_path, KEY, wait_s=0) as held:
        assert held.path.name == "2"


def test_a_holder_elsewhere_is_waited_for_while_its_heart_beats(tmp_path, elsewhere):
    """A process of another machine lives as long as it touches its file."""
    silence(elsewhere.path, seconds=leases.LEASE_S - 10)

    with pytest.raises(LeaseHeldError, match="on elsewhere"), lease(tmp_path, KEY, wait_s=0):
        pass


def test_a_silent_holder_elsewhere_is_overtaken_and_can_know(tmp_path, elsewhere):
    """Who slept for too long has lost the key, and gives back only its own number."""
    silence(elsewhere.path)

    with lease(tmp_path, KEY, execution_id="ours", wait_s=0) as held:
        assert (held.held(), elsewhere.held()) == (True, False)
        os.utime(elsewhere.path, (0, 0))
        holder = holder_of(tmp_path, KEY)

    assert holder
    assert holder.execution_id == "ours"


def test_a_silent_holder_that_nobody_overtook_still_holds(elsewhere):
    """Sleep alone loses nothing."""
    silence(elsewhere.path)

    assert elsewhere.held()


@pytest.fixture
def old_listings(monkeypatch):
    """A network file system: it lists a folder as it was, until this machine changes the folder."""
    listed: dict[Path, list[Path]] = {}
    list_, open_ = Path.iterdir, os.open

    def listing(folder):
        return iter(listed.setdefault(folder, list(list_(folder))))

    def opening(path, flags, *mode):
        if flags & os.O_CREAT:
            listed.pop(Path(path).parent, None)
        return open_(path, flags, *mode)

    monkeypatch.setattr(Path, "iterdir", listing)
    monkeypatch.setattr("os.open", opening)
    return listed


def test_who_was_overtaken_sees_it_through_an_old_listing(elsewhere, old_listings):
    """The end of a sleep does not make a listing new."""
    assert elsewhere.held()
    elsewhere.path.with_name("2").write_bytes(b"")

    assert not elsewhere.held()


def test_an_old_listing_keeps_nobody_from_the_key(tmp_path, old_listings):
    """A number that cannot be created, as it is there, is looked at."""
    with lease(tmp_path, KEY) as held:
        leases._highest(held.path.parent)
        taken = held.path.with_name("2")
        taken.write_bytes(b"")
        os.utime(taken, (0, 0))

    with lease(tmp_path, KEY, wait_s=0) as held:
        assert held.path.name == "3"


def test_who_gets_a_key_sees_the_segments_of_who_had_it(tmp_path, old_listings):
    """What another machine has done need not be done again."""
    segments = tmp_path / "segments"
    segments.mkdir()
    assert list(segments.iterdir()) == []
    theirs = segments / "theirs.jsonl"
    theirs.touch()

    with lease(tmp_path, KEY):
        assert list(segments.iterdir()) == [theirs]


@pytest.mark.parametrize("data", [b"", b'{"execution_id": "x", "pro', b"[]", b'{"process": 1}'])
def test_a_half_written_file_holds_for_some_seconds(tmp_path, data):
    """Its writer is about to go on, or was killed just then."""
    path = tmp_path / "leases" / KEY / "1"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)

    assert str(holder_of(tmp_path, KEY)) == "another process"
    silence(path, seconds=6)
    assert holder_of(tmp_path, KEY) is None


def test_only_the_two_highest_numbers_stay(tmp_path):
    """A key that is taken often does not fill the folder."""
    for _ in range(5):
        with lease(tmp_path, KEY):
            pass

    assert numbers(tmp_path) == [4, 5]


def test_a_number_that_had_been_used_does_not_count(tmp_path, monkeypatch):
    """Who looked long ago, and creates a number that was removed since, holds nothing by it."""
    for _ in range(3):
        with lease(tmp_path, KEY):
            pass
    fresh = leases._highest
    looks = iter([None])
    monkeypatch.setattr(leases, "_highest", lambda folder: next(looks, fresh(folder)))

    with lease(tmp_path, KEY) as held:
        assert held.path.name == "4"


@pytest.mark.parametrize("num_bytes", [0, 20])
def test_a_full_disk_leaves_the_key_free(tmp_path, monkeypatch, num_bytes):
    """Nobody waits for a holder that could not even say who it is, or only half of it."""
    write = os.write

    def full(descriptor, data):
        if num_bytes:
            return write(descriptor, data[:num_bytes])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.write", full)
        with pytest.raises(LedgerError, match="No space left"), lease(tmp_path, KEY):
            pass

    with lease(tmp_path, KEY, wait_s=0) as held:
        assert held.held()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    """The message names the folder and what failed."""
    (tmp_path / "leases").touch()

    with pytest.raises(LedgerError, match="leases/stage: cannot take the lease"):
        lease(tmp_path, KEY).__enter__()


def test_a_forked_child_gives_nothing_back(tmp_path):
    """What the parent holds is not the child's."""
    stack = ExitStack()
    stack.enter_context(lease(tmp_path, KEY))
    child = os.fork()
    if child == 0:
        try:
            stack.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert holder_of(tmp_path, KEY)
    stack.close()
    assert holder_of(tmp_path, KEY) is None


def test_a_heart_beats(tmp_path, monkeypatch):
    """A file is touched again and again while the block lasts, and not after it."""
    monkeypatch.setattr(leases, "LEASE_S", 0.06)
    path = tmp_path / "file"
    path.touch()

    with heartbeat(path):
        for _ in range(2):
            silence(path, seconds=100)
            wait_until(lambda: time.time() - path.stat().st_mtime < 50)
    silence(path, seconds=100)
    time.sleep(0.05)
    assert time.time() - path.stat().st_mtime > 50


def test_the_heart_of_a_holder_beats(tmp_path, monkeypatch):
    """Who holds a key need not think of it."""
    monkeypatch.setattr(leases, "LEASE_S", 0.06)

    with lease(tmp_path, KEY) as held:
        silence(held.path, seconds=100)
        wait_until(lambda: time.time() - held.path.stat().st_mtime < 50)


def test_a_heart_survives_a_missing_file(tmp_path, monkeypatch):
    """A touch that fails is tried again."""
    monkeypatch.setattr(leases, "LEASE_S", 0.06)
    path = tmp_path / "file"

    with heartbeat(path):
        time.sleep(0.05)
        path.touch()
        silence(path, seconds=100)
        wait_until(lambda: time.time() - path.stat().st_mtime < 50)

    assert path.exists()


@pytest.mark.parametrize(("seconds", "expected"), [(50, False), (70, True), (-70, True)])
def test_a_file_is_left_behind_when_nobody_touches_it(tmp_path, seconds, expected):
    """A last touch long ago, or far in the future of a clock that was set back."""
    path = tmp_path / "file"
    path.touch()
    silence(path, seconds=seconds)

    assert left_behind(tmp_path, path) is expected


def test_the_clock_of_the_file_system_counts(tmp_path, monkeypatch):
    """A machine whose own clock is wrong judges as the others do."""
    path = tmp_path / "file"
    path.touch()
    monkeypatch.setattr("time.time", lambda: 0.0)

    assert not left_behind(tmp_path, path)


def test_a_folder_that_can_only_be_read_is_judged_by_the_own_clock(tmp_path, monkeypatch):
    """Where nothing can be touched, the own clock is the only one."""
    path = tmp_path / "file"
    path.touch()
    (tmp_path / "leases").touch()
    assert not left_behind(tmp_path, path)

    later = time.time() + 100
    monkeypatch.setattr("time.time", lambda: later)
    assert left_behind(tmp_path, path)


def wait_until(condition) -> None:
    """Wait for what another thread or process does soon."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_of_two_who_see_the_same_free_key_one_gets_it(tmp_path, monkeypatch):
    """Both looked before either took it: the file system decides."""
    create, both_looked = leases._created, threading.Barrier(2)
    looked: set[int] = set()
    results: list[str] = []

    def created(path: Path, holder: Holder) -> bool:
        if threading.get_ident() not in looked:
            looked.add(threading.get_ident())
            both_looked.wait(30)
        return create(path, holder)

    def contend() -> None:
        try:
            with lease(tmp_path, KEY, wait_s=0):
                both_looked.wait(30)
                results.append("held")
        except LeaseHeldError:
            both_looked.wait(30)
            results.append("refused")

    monkeypatch.setattr(leases, "_created", created)
    threads = [threading.Thread(target=contend) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == ["held", "refused"]


TURNS, DEAD_AFTER = 25, 5
RACE = """
import os, signal, sys
from pathlib import Path
from repro.ledger.lease import LeaseHeldError, lease
root, key, me, turns, dead_after = sys.argv[1:]
log = os.open(Path(root) / "log", os.O_WRONLY | os.O_APPEND)
turn = 0
while turn < int(turns):
    try:  # no pause between two tries: as much contention as there can be
        with lease(Path(root), key, wait_s=0) as held:
            os.write(log, f"{me} enters {held.path.name}\\n".encode())
            if me == "0" and turn == int(dead_after):
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(log, f"{me} leaves {held.path.name}\\n".encode())
            turn += 1
    except LeaseHeldError:
        pass
"""


def test_of_many_processes_one_at_a_time_holds_a_key(tmp_path):
    """Each number has one holder, it leaves before the next enters, and a killed one stops none."""
    (tmp_path / "log").touch()
    arguments = [str(TURNS), str(DEAD_AFTER)]
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, tmp_path, KEY, str(me), *arguments])
        for me in range(6)
    ]
    codes = [racer.wait(timeout=120) for racer in racers]

    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    killed_in = [number for me, what, number in lines if me == "0" and what == "enters"][-1]
    entered = [int(number) for _, what, number in lines if what == "enters"]
    assert codes == [-signal.SIGKILL, 0, 0, 0, 0, 0]
    assert Counter(me for me, what, _ in lines if what == "enters") == {
        str(me): TURNS if me else DEAD_AFTER + 1 for me in range(6)
    }
    assert entered == list(range(1, len(entered) + 1))
    for one, next_ in pairwise(lines):
        if one[1] == "enters" and one[2] != killed_in:
            assert next_ == [one[0], "leaves", one[2]]
