"""The writer."""

import errno
import math
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from repro.errors import LedgerError
from repro.ledger import history, segment, verify
from repro.ledger.records import Decision, Progress
from tests.ledger.ledgers import TRAIN, execute, path_of, start

NOTE = Decision(topic="note")


def kinds(root: Path, execution_id: str) -> list[str]:
    """The kinds of the records of an execution, its chain checked."""
    return [line.kind for line in history.read_lines(path_of(root, execution_id))]


def progress(step: int) -> Progress:
    return Progress(stage_id=TRAIN, steps=[step], values={"loss": [1.0]})


def test_an_execution_ends_with_its_seal(tmp_path):
    """A block that ends well is sealed as done, in a file that nobody may write."""
    with segment.begin(tmp_path, start()) as execution:
        assert execution.append(NOTE) == 1

    (found,) = history.executions(tmp_path)
    path = tmp_path / "segments" / f"{execution.execution_id}.jsonl"
    assert found.seal is not None
    assert (found.status, found.seal.num_records) == ("done", 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("no"), "failed"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(1), "interrupted"),
    ],
    ids=["error", "keyboard", "exit"],
)
def test_the_seal_says_what_ended_it(tmp_path, error, outcome):
    """An exception seals the execution and goes on to whoever waits for it."""
    with pytest.raises(type(error)), segment.begin(tmp_path, start()):
        raise error

    (found,) = history.executions(tmp_path)
    assert found.seal is not None
    assert found.seal.outcome == outcome
    assert type(error).__name__ in found.seal.error


def test_nothing_follows_the_seal(tmp_path):
    """A sealed execution takes no record."""
    with segment.begin(tmp_path, start()) as execution:
        execution.seal("done")

        with pytest.raises(LedgerError, match="it is sealed"):
            execution.append(NOTE)


def test_a_record_is_one_write(tmp_path, monkeypatch):
    """Each record reaches the file by a single system call."""
    written: list[bytes] = []
    write = os.write

    def noted(file: int, data: bytes) -> int:
        written.append(data)
        return write(file, data)

    monkeypatch.setattr(os, "write", noted)

    with segment.begin(tmp_path, start()) as execution:
        execution.append(progress(1), durable=False)

    assert b"".join(written) == path_of(tmp_path, execution.execution_id).read_bytes()
    assert all(data.endswith(b"\n") and data.count(b"\n") == 1 for data in written)


def test_durable_records_are_synced_at_once(tmp_path, monkeypatch):
    """A durable record is synced before it is acknowledged, progress once a second."""
    synced: list[int] = []
    with segment.begin(tmp_path, start()) as execution:
        monkeypatch.setattr(os, "fsync", synced.append)

        for step in range(50):
            execution.append(progress(step), durable=False)
        before = len(synced)
        execution.append(NOTE)
        after = len(synced)
        monkeypatch.setattr(segment, "SYNC_EVERY_S", 0.0)
        execution.append(progress(51), durable=False)

    assert (before, after) == (0, 1)
    assert len(synced) >= 3


def curve(root: Path) -> list[tuple[int, float]]:
    """The losses in a ledger's only segment, in the order of the file; its chain checked."""
    (path,) = history.segment_paths(root)
    said = [history.decoded(line) for line in history.read_lines(path)]
    return [
        pair
        for each in said
        if isinstance(each, Progress)
        for pair in zip(each.steps, each.values["loss"], strict=True)
    ]


def log(execution: segment.Segment, *steps: int) -> None:
    for step in steps:
        execution.log(TRAIN, step, {"loss": step / 2})


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_logged_numbers_are_written_soon(tmp_path):
    """What was logged reaches the file without any further call."""
    execution = segment.begin(tmp_path, start())
    log(execution, 1, 2)
    wait_until(lambda: len(curve(tmp_path)) == 2)
    log(execution, 3)
    wait_until(lambda: len(curve(tmp_path)) == 3)

    assert curve(tmp_path) == [(1, 0.5), (2, 1.0), (3, 1.5)]


def test_moments_of_one_layout_are_one_record(tmp_path):
    """Numbers that were logged since the last write take as few records as there are layouts."""
    with segment.begin(tmp_path, start()) as execution:
        for step in range(100):
            execution.log(TRAIN, step, {"loss": step / 2})
            execution.log(TRAIN, step, {"rate": 1.0})
        execution.append(NOTE)

    found = kinds(tmp_path, execution.execution_id)
    assert found.count("progress") <= 4  # the thread may have written in between
    assert found[-2:] == ["decision", "seal"]


def test_logged_numbers_come_before_what_is_appended_later(tmp_path):
    """The order of calls is the order of the file."""
    with segment.begin(tmp_path, start()) as execution:
        log(execution, 1)
        execution.append(NOTE)
        log(execution, 2)

    expected = ["start", "progress", "decision", "progress", "seal"]
    assert kinds(tmp_path, execution.execution_id) == expected


def test_a_flush_makes_logged_numbers_durable(tmp_path, monkeypatch):
    """When `flush` returns, everything is written and synced."""
    synced: list[int] = []
    with segment.begin(tmp_path, start()) as execution:
        log(execution, 1, 2)
        monkeypatch.setattr(os, "fsync", synced.append)
        execution.flush()

        assert curve(tmp_path) == [(1, 0.5), (2, 1.0)]
        assert synced


def test_many_moments_do_not_pile_up(tmp_path, monkeypatch):
    """A loop that is faster than the thread writes for itself."""
    monkeypatch.setattr(segment, "WRITE_EVERY_S", 60.0)
    execution = segment.begin(tmp_path, start())

    log(execution, *range(10_000))

    assert len(curve(tmp_path)) == 8192


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 1e-300])
def test_any_number_can_be_logged(tmp_path, value):
    """What is no finite number comes back as it was."""
    with segment.begin(tmp_path, start()) as execution:
        execution.log(TRAIN, 1, {"loss": value, "größe": 1})

    assert str(curve(tmp_path)[0][1]) == str(value + 0.0)


@pytest.mark.parametrize(
    ("step", "values"),
    [
        (1.5, {"loss": 1.0}),
        (1 << 63, {"loss": 1.0}),
        (1, {"loss": "much"}),
        (1, {"loss": None}),
    ],
)
def test_what_is_no_number_is_refused_at_the_call(tmp_path, step, values):
    """A mistake is told where it is made, and nothing of it is recorded."""
    with segment.begin(tmp_path, start()) as execution:
        with pytest.raises((TypeError, ValueError)):
            execution.log(TRAIN, step, values)
        log(execution, 7)

    assert curve(tmp_path) == [(7, 3.5)]


def test_records_appended_together_are_one_write_and_one_sync(tmp_path, monkeypatch):
    """`append_all` says which numbers it gave."""
    calls: list[str] = []

    def noted(name: str) -> None:
        call = getattr(os, name)

        def told(*given: Any) -> Any:
            calls.append(name)
            return call(*given)

        monkeypatch.setattr(os, name, told)

    with segment.begin(tmp_path, start()) as execution:
        noted("write")
        noted("fsync")
        numbers = execution.append_all([NOTE] * 50)
        monkeypatch.undo()

    assert (numbers, calls) == (range(1, 51), ["write", "fsync"])
    assert kinds(tmp_path, execution.execution_id) == ["start", *["decision"] * 50, "seal"]


def full_disk(monkeypatch, *, after_bytes: int) -> None:
    """Let the next record be written up to a point, and no further."""
    write = os.write
    rest = [after_bytes]

    def limited(file: int, data: bytes) -> int:
        if rest[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(file, data[: rest[0]])
        rest[0] -= done
        return done

    monkeypatch.setattr(os, "write", limited)


@pytest.mark.parametrize("after_bytes", [0, 1, 100])
def test_a_full_disk_is_an_error_and_no_damage(tmp_path, monkeypatch, after_bytes):
    """A record that did not fit is refused; the next one finds the chain whole."""
    with segment.begin(tmp_path, start()) as execution:
        with monkeypatch.context() as patch:
            full_disk(patch, after_bytes=after_bytes)
            with pytest.raises(LedgerError, match=r"not stored.*No space left"):
                execution.append(NOTE)

        execution.append(NOTE)

    assert kinds(tmp_path, execution.execution_id) == ["start", "decision", "seal"]


@pytest.mark.parametrize("after_bytes", [0, 1, 400, 700, 2000])
def test_logged_numbers_wait_for_space(tmp_path, monkeypatch, after_bytes):
    """What a full disk refused is written when there is space, each number once."""
    monkeypatch.setattr(segment, "WRITE_EVERY_S", 60.0)
    with segment.begin(tmp_path, start()) as execution:
        for step in range(20):
            log(execution, step)
            execution.log(TRAIN, step, {"loss": step / 2, f"extra {step % 3}": 1.0})
        with monkeypatch.context() as patch:
            full_disk(patch, after_bytes=after_bytes)
            with pytest.raises(LedgerError, match=r"not stored.*No space left"):
                execution.append_all([NOTE] * 9)

        execution.append(NOTE)

    assert sorted(curve(tmp_path)) == sorted([(step, step / 2) for step in range(20)] * 2)
    assert verify(tmp_path) == []


def test_a_full_disk_at_the_start_leaves_no_execution(tmp_path, monkeypatch):
    """An execution that could not say that it starts has not begun."""
    full_disk(monkeypatch, after_bytes=10)

    with pytest.raises(LedgerError, match="No space left"):
        segment.begin(tmp_path, start())

    assert history.segment_paths(tmp_path) == []


def test_a_full_disk_at_the_end_keeps_the_first_error(tmp_path, monkeypatch):
    """If the seal cannot be written either, the exception still says what went wrong first."""
    first = ValueError("first")
    execution = segment.begin(tmp_path, start())
    full_disk(monkeypatch, after_bytes=0)

    execution.__exit__(ValueError, first, None)

    assert "could not be sealed" in first.__notes__[0]


def test_a_failed_sync_ends_the_segment(tmp_path, monkeypatch):
    """After a failed fsync nothing more is acknowledged."""
    execution = segment.begin(tmp_path, start())
    with monkeypatch.context() as patch:

        def fails(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch.setattr(os, "fsync", fails)
        with pytest.raises(LedgerError, match="cannot sync"):
            execution.append(NOTE)

    with pytest.raises(LedgerError, match="could not be synced"):
        execution.append(NOTE)


def test_a_failed_sync_in_the_background_ends_the_segment(tmp_path, monkeypatch):
    """When the thread cannot sync, the next call says so, and the file is left alone."""

    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    execution = segment.begin(tmp_path, start())
    monkeypatch.setattr(segment, "SYNC_EVERY_S", 0.0)
    monkeypatch.setattr(os, "fsync", fails)
    log(execution, 1)
    wait_until(lambda: execution._closed != "")

    for call in (lambda: log(execution, 2), execution.flush, lambda: execution.append(NOTE)):
        with pytest.raises(LedgerError, match="could not be synced"):
            call()
    assert curve(tmp_path) == [(1, 0.5)]


def test_an_interrupt_between_write_and_bookkeeping(tmp_path, monkeypatch):
    """Control-C just after a write neither loses the record nor breaks the chain."""
    execution = segment.begin(tmp_path, start())
    advance = segment.Segment._advance

    def interrupted(*_: object, **__: object) -> None:
        monkeypatch.setattr(segment.Segment, "_advance", advance)
        raise KeyboardInterrupt

    monkeypatch.setattr(segment.Segment, "_advance", interrupted)
    with pytest.raises(KeyboardInterrupt), execution:
        execution.append(NOTE)

    assert kinds(tmp_path, execution.execution_id) == ["start", "decision", "seal"]
    assert verify(tmp_path) == []


@pytest.mark.parametrize("place", ["_write", "_advance", "_sync_if_due"])
def test_an_interrupt_while_logged_numbers_are_written(tmp_path, monkeypatch, place):
    """Wherever Control-C comes, every number is told once."""
    monkeypatch.setattr(segment, "WRITE_EVERY_S", 60.0)
    execution = segment.begin(tmp_path, start())
    log(execution, 1, 2)
    original = getattr(segment.Segment, place)

    def interrupted(self: segment.Segment, *args: Any, **more: Any) -> None:
        monkeypatch.setattr(segment.Segment, place, original)
        if place == "_sync_if_due":
            original(self, *args, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(segment.Segment, place, interrupted)
    log(execution, 3)
    with pytest.raises(KeyboardInterrupt), execution:
        execution.append(NOTE)

    assert curve(tmp_path) == [(1, 0.5), (2, 1.0), (3, 1.5)]


@pytest.mark.parametrize("damage", ["removed", "edited"])
def test_a_segment_that_others_touch_is_refused(tmp_path, damage):
    """A writer whose file was removed or changed under it stops."""
    execution = segment.begin(tmp_path, start())
    path = path_of(tmp_path, execution.execution_id)
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"graffiti\n")

    with pytest.raises(LedgerError, match=r"was removed|changed while"):
        execution.append(NOTE)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_may_not_write(tmp_path):
    """The child of a fork is refused, and its exit from the block seals nothing."""

    def child(answers: Any) -> None:
        try:
            execution.log(TRAIN, 2, {"loss": 1.0})
        except LedgerError as error:
            answers.put(str(error))
        execution.__exit__(None, None, None)

    with segment.begin(tmp_path, start()) as execution:
        log(execution, 1)
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        process = context.Process(target=child, args=(answers,))
        process.start()
        process.join()
        execution.append(NOTE)

    assert "a forked process begins its own" in answers.get()
    assert kinds(tmp_path, execution.execution_id) == ["start", "progress", "decision", "seal"]


LOGGER = """
import sys
from pathlib import Path
from repro.ledger import segment
from repro.ledger.records import Start
execution = segment.begin(Path(sys.argv[1]), Start(purpose="run"))
for step in range(1000):
    execution.log("s", step, {"loss": step / 2})
"""


def test_a_program_that_ends_unsealed_leaves_what_it_logged(tmp_path):
    """The interpreter's exit hangs on nothing and loses nothing."""
    subprocess.run([sys.executable, "-c", LOGGER, tmp_path], check=True, timeout=60)

    assert curve(tmp_path) == [(step, step / 2) for step in range(1000)]


def test_a_clock_that_jumps_back_is_recorded_as_it_is(tmp_path):
    """Order comes from the sequence, not from the clock."""
    ticks = (datetime(2026, 1, 31, tzinfo=UTC) - timedelta(hours=i) for i in count())

    with segment.begin(tmp_path, start(), now=lambda: next(ticks)) as execution:
        execution.append(NOTE)

    assert verify(tmp_path) == []
    assert history.executions(tmp_path)[0].status == "done"


def test_secrets_do_not_enter_the_start(tmp_path):
    """Credentials on the command line or in an error are not recorded."""
    command = ("repro", "fetch", "--token=geheim", "https://me:geheim@host/x")
    execution = segment.begin(tmp_path, evolve(start(), command=command))
    with pytest.raises(ValueError, match="host"), execution:
        raise ValueError("https://me:geheim@host/x")

    assert b"geheim" not in path_of(tmp_path, execution.execution_id).read_bytes()


WRITER = """
import sys
from pathlib import Path
from repro.ledger import segment
from repro.ledger.records import Progress, Start
with segment.begin(Path(sys.argv[1]), Start(purpose="run")) as execution:
    for step in range(int(sys.argv[2])):
        record = Progress(stage_id="s", steps=[step], values={"loss": [1.0]})
        print(execution.append(record, durable=False), flush=True)
"""


def writer(root: Path, steps: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, root, str(steps)], stdout=subprocess.PIPE
    )


def test_a_killed_writer_loses_nothing_it_was_told(tmp_path):
    """After kill -9 every acknowledged record is there, and the execution shows as interrupted."""
    process = writer(tmp_path, 1_000_000)
    assert process.stdout
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    acknowledged = [int(line) for line in process.communicate()[0].splitlines()[:-1]]

    (found,) = history.executions(tmp_path)
    (path,) = history.segment_paths(tmp_path)
    assert sum(1 for _ in history.read_lines(path)) > acknowledged[-1]
    assert (found.status, found.seal) == ("interrupted", None)
    assert verify(tmp_path) == []


def test_eight_writers_do_not_disturb_each_other(tmp_path):
    """Eight processes that write at once leave eight whole segments."""
    processes = [writer(tmp_path, 200) for _ in range(8)]
    for process in processes:
        process.communicate()

    lengths = [sum(1 for _ in history.read_lines(path)) for path in history.segment_paths(tmp_path)]
    assert lengths == [202] * 8


def test_the_heart_of_any_execution_beats(tmp_path, monkeypatch):
    """Whatever an execution is for, other machines see that it lives until it is sealed."""
    monkeypatch.setattr("repro.ledger.lease.LEASE_S", 0.06)
    deadline = time.monotonic() + 10

    with segment.begin(tmp_path, start(purpose="gc")) as execution:
        path = path_of(tmp_path, execution.execution_id)
        os.utime(path, (1, 1))
        while path.stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.005)
        alive = path.stat().st_mtime > 1
        execution.seal("done")
    os.utime(path, (1, 1))
    time.sleep(0.05)

    assert alive
    assert path.stat().st_mtime == 1


def test_ids_are_in_order_of_time(tmp_path):
    """A later execution has a later name."""
    ids = [execute(tmp_path) for _ in range(3)]

    assert ids == sorted(ids)
    assert [path.stem for path in history.segment_paths(tmp_path)] == ids


def test_a_start_tells_no_folder_of_its_user(tmp_path, monkeypatch):
    """The program is recorded by its name, and paths without the way through the home folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", f"{tmp_path}/home/alice")
    path = "../home/alice/toy.toml"
    command = (f"{tmp_path}/home/alice/venv/bin/repro", "run", path)

    segment.begin(tmp_path, evolve(start(), command=command, spec_path=path))

    (found,) = history.executions(tmp_path)
    assert found.start.command == ("repro", "run", "~/toy.toml")
    assert found.start.spec_path == "~/toy.toml"
