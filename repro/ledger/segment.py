"""The writer: one append-only file per execution, one write(2) for what is appended together.

No writer shares a file or a lock with another, so hundreds of executions cannot block each other.
A record that `append` acknowledged is on the disk (`durable`), or will be at the next record that
comes a second later or is durable itself. A killed process loses nothing that was written; a power
cut loses at most that second. Numbers of a loop are only noted by `log`, and written soon after.
"""

import atexit
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attrs import evolve

from repro.errors import LedgerError
from repro.ledger import durable as disk
from repro.ledger import machine, records
from repro.ledger.chain import ChainError, Tip, Tree, follow, render
from repro.ledger.lease import heartbeat
from repro.ledger.privacy import cleaned, cleaned_command
from repro.ledger.records import Outcome, Progress, Record, Seal, Start

SYNC_EVERY_S = 1.0
WRITE_EVERY_S = 0.15
_MAX_MOMENTS = 4096
_UNWRITTEN = sys.maxsize
_STEPS = 1 << 63  # what a reader of JSON takes for a whole number
_ERROR_CHARS = 2000
_SEALED_MODE = 0o444
_ID = re.compile(r"(\d{8})T(\d{12})-[0-9a-f]{8}\.jsonl", re.ASCII)


def utc_now() -> datetime:
    return datetime.now(UTC)


def begin(root: Path, start: Start, *, now: Callable[[], datetime] = utc_now) -> "Segment":
    """Create a segment and record durably that the execution starts.

    Raises:
        LedgerError: the ledger's folder cannot be written.
    """
    folder = root / "segments"
    try:
        disk.make_folder(folder)
        execution_id = _next_id(folder, now())
        path = folder / f"{execution_id}.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
    except OSError as error:
        raise disk.refused(folder, error, what="cannot begin an execution") from error
    segment = Segment(path, descriptor, now=now)
    process = machine.this_process()
    try:
        segment.append(
            evolve(
                start,
                command=cleaned_command(start.command),
                spec_path=cleaned(start.spec_path),
                title=cleaned(start.title),
                execution_id=execution_id,
                host=process.host,
                pid=process.pid,
                boot_id=process.boot_id,
                process_start=process.process_start,
                pid_namespace=process.pid_namespace,
            )
        )
        disk.sync(folder)
    except LedgerError:
        path.unlink(missing_ok=True)
        raise
    except OSError as error:
        path.unlink(missing_ok=True)
        raise disk.refused(path, error, what="cannot begin an execution") from error
    return segment


def _next_id(folder: Path, now: datetime) -> str:
    """An id after all that are there: by the time, or one on where the clock was set back."""
    ids = (_ID.fullmatch(path.name) for path in folder.iterdir())
    newest = max((int(f"{found[1]}{found[2]}") for found in ids if found), default=0)
    digits = str(max(newest + 1, int(f"{now.astimezone(UTC):%Y%m%d%H%M%S%f}")))
    return f"{digits[:8]}T{digits[8:]}-{secrets.token_hex(4)}"


# Numbers that were logged together, and the number of the record that they were last put into: a
# list, because a loop makes one at each of its steps.
_Moment = list[Any]
_STAGE, _STEP, _NAMES, _NUMBERS, _SEQ = range(5)


class _ThisProcess:
    """Its number, known without a system call at each step of a loop."""

    pid = os.getpid()


os.register_at_fork(after_in_child=lambda: setattr(_ThisProcess, "pid", os.getpid()))


class Segment:
    """An execution's open record. As a context manager it seals itself with how the block ended.

    While the block lasts, a heartbeat tells other machines that the execution lives. Only the
    process that began it may add to it: a forked child is refused.
    """

    def __init__(self, path: Path, descriptor: int, *, now: Callable[[], datetime]) -> None:
        self.execution_id = path.stem
        self._path = path
        self._descriptor = descriptor
        self._now = now
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._end = (Tip(), Tree())
        self._synced_at = time.monotonic()
        self._closed = ""
        self._logged: list[_Moment] = []
        self._awake = False
        self._waiting = threading.Event()
        self._writer: threading.Thread | None = None
        self._exiting = False
        self._alive = ExitStack()

    def append(self, record: Record, *, durable: bool = True) -> int:
        """Add a record; returns its sequence number.

        Raises:
            LedgerError: it could not be stored, or nothing may be added any more.
        """
        return self.append_all([record], durable=durable)[0]

    def append_all(self, added: Sequence[Record], *, durable: bool = True) -> range:
        """Add records by one write and, if durable, one sync; returns their sequence numbers.

        Raises:
            LedgerError: not all could be stored (the first ones may be), or nothing may be added
                any more.
        """
        self._require_open()
        said = [(each.kind, records.encode(each)) for each in added]
        with self._writing():
            self._write_logged()
            first = self._add(said)
            self._sync_if_due(durable=durable)
        return range(first, first + len(said))

    def log(self, stage_id: str, step: int, values: Mapping[str, float]) -> None:
        """Note numbers of one moment of a stage: the call for a loop, a microsecond or two long.

        They are written within 0.2 s, before any record that is appended later, and are durable
        when the next durable record or `flush` is. A killed process loses at most what it logged in
        its last 0.2 s. While the disk is full they wait; when 4,096 moments do, this call fails.

        Raises:
            LedgerError: too much waits and cannot be stored, or nothing may be added any more.
            TypeError, ValueError: the step is no whole number of 64 bits, or a value is no number.
        """
        if self._closed or self._pid != _ThisProcess.pid:
            self._require_open()
        numbers = tuple(map(float, values.values()))
        if not -_STEPS <= step < _STEPS:
            raise ValueError(f"step {step}: expected a whole number of 64 bits")
        self._logged.append([stage_id, index(step), tuple(values), numbers, _UNWRITTEN])
        if len(self._logged) >= _MAX_MOMENTS:
            with self._writing():
                self._write_logged()
        elif not self._awake:
            self._wake_writer()

    def flush(self) -> None:
        """Make durable whatever was logged or appended.

        Raises:
            LedgerError: it could not be stored, or nothing may be added any more.
        """
        with self._writing():
            self._write_logged()
            self._sync()

    def seal(self, outcome: Outcome, error: str = "") -> None:
        """Add the last record and close the file for ever.

        Raises:
            LedgerError: it could not be stored; the execution will show as interrupted.
        """
        with self._writing():
            if not self._resume_at_end().sealed:  # as it is when an interrupt came just after
                self._write_logged()
                tip, tree = self._end
                root = f"sha256:{tree.root()}"
                last = Seal(outcome=outcome, error=error, num_records=tip.seq, merkle_root=root)
                self._add([(last.kind, records.encode(last))])
            self._sync()
            os.fchmod(self._descriptor, _SEALED_MODE)
            self._close("is sealed")

    def __enter__(self) -> Self:
        self._alive.enter_context(heartbeat(self._path))
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if os.getpid() != self._pid:
            return
        with self._alive:
            self._seal_after(error)

    def _seal_after(self, error: BaseException | None) -> None:
        if self._closed:
            return
        if error is None:
            self.seal("done")
            return
        try:
            text = cleaned(f"{type(error).__name__}: {error}")
            self.seal(_outcome_of(error), text[:_ERROR_CHARS])
        except LedgerError as unsealed:
            error.add_note(f"the execution could not be sealed: {unsealed}")

    def _require_open(self) -> None:
        if self._pid != _ThisProcess.pid:
            problem = f"belongs to process {self._pid}; a forked process begins its own"
        elif self._closed:
            problem = self._closed
        else:
            return
        raise LedgerError(f"{self._path}: nothing can be added: it {problem}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock, and the file open, while the block writes; say what goes wrong.

        Raises:
            LedgerError: a write failed, or nothing may be added any more.
        """
        self._require_open()  # first, because in a forked child nobody may ever give the lock back
        with self._lock:
            self._require_open()  # again, because a failed sync in the thread closes the file
            try:
                yield
            except OSError as error:
                raise disk.refused(self._path, error, what="the record is not stored") from error

    def _add(self, said: Sequence[tuple[str, bytes]]) -> int:
        """Write records, each a kind and its data, at once; returns the first one's number."""
        tip = self._resume_at_end()
        if tip.sealed:
            raise LedgerError(f"{self._path}: nothing can be added: it is sealed")
        first, now, lines = tip.seq, self._now(), []
        for kind, data in said:
            raw = render(seq=tip.seq, time=now, kind=kind, data=data, prev=tip.hash)
            tip = tip.after(raw, kind=kind)
            lines.append((raw, kind))
        self._write(b"".join(raw + b"\n" for raw, _ in lines))
        self._advance(lines)
        return first

    def _write_logged(self) -> None:
        """Put every moment that no record holds yet into as few records as there are layouts.

        A moment is in the file when its record is. So nothing is lost or told twice, wherever an
        interrupt or a full disk ends this.
        """
        moments = self._logged[:]
        if not moments:
            return
        seq = self._resume_at_end().seq
        layouts: dict[tuple[str, tuple[str, ...]], list[_Moment]] = {}
        for each in moments:
            if each[_SEQ] >= seq:
                layouts.setdefault((each[_STAGE], each[_NAMES]), []).append(each)
        said = []
        for number, ((stage_id, names), alike) in enumerate(layouts.items()):
            for each in alike:
                each[_SEQ] = seq + number
            curves = zip(*(each[_NUMBERS] for each in alike), strict=True)
            together = Progress(
                stage_id=stage_id,
                steps=[each[_STEP] for each in alike],
                values=dict(zip(map(str, names), curves, strict=True)),
            )
            said.append((together.kind, records.encode(together)))
        if said:
            self._add(said)
            self._sync_if_due(durable=False)
        seq = self._end[0].seq
        self._logged[: len(moments)] = [each for each in moments if each[_SEQ] >= seq]

    def _wake_writer(self) -> None:
        self._awake = True
        self._waiting.set()
        if self._writer is None:
            with self._lock:
                if self._writer is None:
                    self._writer = threading.Thread(
                        target=self._write_regularly, name="ledger writer", daemon=True
                    )
                    self._writer.start()
                    atexit.register(self._leave)

    def _write_regularly(self) -> None:
        while not (self._closed or self._exiting):
            time.sleep(WRITE_EVERY_S)
            if not self._logged:
                self._waiting.clear()
                self._awake = False  # from here on a call that logs sets the event
                if not self._logged:
                    self._waiting.wait()
                continue
            with suppress(LedgerError), self._writing():  # the next append says why it failed
                if not self._exiting:
                    self._write_logged()

    def _leave(self) -> None:
        """At the interpreter's exit, write what was logged and let the thread take no lock more."""
        if os.getpid() != self._pid:
            return
        self._exiting = True
        self._waiting.set()
        with suppress(LedgerError), self._writing():
            self._write_logged()

    def _resume_at_end(self) -> Tip:
        """Where the file ends, also after an interrupt or a failure in the middle of a write."""
        status = os.fstat(self._descriptor)
        if status.st_nlink == 0:
            raise LedgerError(f"{self._path}: the file was removed while it was written")
        if status.st_size != self._end[0].size_bytes:
            self._end = (Tip(), Tree())
            try:
                whole = self._path.read_bytes().split(b"\n")[:-1]
                self._advance((line.raw, line.kind) for line in follow(whole, Tip()))
            except ChainError as error:
                raise LedgerError(f"{self._path}: changed while it was written: {error}") from error
            os.ftruncate(self._descriptor, self._end[0].size_bytes)
        return self._end[0]

    def _advance(self, lines: Iterable[tuple[bytes, str]]) -> None:
        tip, tree = self._end
        for raw, kind in lines:
            tip, tree = tip.after(raw, kind=kind), tree.add(raw)
        self._end = (tip, tree)  # one assignment: never half done

    def _write(self, raw: bytes) -> None:
        written = os.write(self._descriptor, raw)
        while written < len(raw):  # a full disk takes a part, and refuses the rest
            written += os.write(self._descriptor, raw[written:])

    def _sync_if_due(self, *, durable: bool) -> None:
        if durable or time.monotonic() - self._synced_at >= SYNC_EVERY_S:
            self._sync()

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            # After a failed fsync nobody knows what the disk holds; going on would be a guess.
            self._close("could not be synced to disk")
            raise disk.refused(self._path, error, what="cannot sync to disk") from error
        self._synced_at = time.monotonic()

    def _close(self, why: str) -> None:
        self._closed = why
        os.close(self._descriptor)
        self._waiting.set()  # lets the thread end
        atexit.unregister(self._leave)


def _outcome_of(error: BaseException) -> Outcome:
    return "failed" if isinstance(error, Exception) else "interrupted"
