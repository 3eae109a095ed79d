"""The writer: one append-only file per execution, one write(2) per record.

No writer shares a file or a lock with another, so hundreds of executions cannot block each other.
A record that `append` acknowledged is on the disk (`durable`), or will be at the next record that
comes a second later or is durable itself. A killed process loses nothing that was written; a power
cut loses at most that second.
"""

import os
import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import evolve

from repro.errors import LedgerError
from repro.ledger import durable as disk
from repro.ledger import machine, records
from repro.ledger.chain import ChainError, Tip, Tree, follow, render
from repro.ledger.privacy import cleaned, cleaned_command
from repro.ledger.records import Outcome, Record, Seal, Start

SYNC_EVERY_S = 1.0
_ERROR_CHARS = 2000
_SEALED_MODE = 0o444


def utc_now() -> datetime:
    return datetime.now(UTC)


def begin(root: Path, start: Start, *, now: Callable[[], datetime] = utc_now) -> "Segment":
    """Create a segment and record durably that the execution starts.

    Raises:
        LedgerError: the ledger's folder cannot be written.
    """
    folder = root / "segments"
    execution_id = f"{now().astimezone(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
    path = folder / f"{execution_id}.jsonl"
    try:
        disk.make_folder(folder)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
    except OSError as error:
        raise disk.refused(path, error, what="cannot begin an execution") from error
    segment = Segment(path, descriptor, now=now)
    process = machine.this_process()
    try:
        segment.append(
            evolve(
                start,
                command=cleaned_command(start.command),
                spec_path=cleaned(start.spec_path),
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
    return segment


class Segment:
    """An execution's open record. As a context manager it seals itself with how the block ended.

    Only the process that began it may add to it: a forked child is refused.
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

    def append(self, record: Record, *, durable: bool = True) -> int:
        """Add a record; returns its sequence number.

        Raises:
            LedgerError: it could not be stored, or nothing may be added any more.
        """
        self._require_open()
        data = records.encode(record)
        with self._lock:
            return self._add(record.kind, data, durable=durable)

    def seal(self, outcome: Outcome, error: str = "") -> None:
        """Add the last record and close the file for ever.

        Raises:
            LedgerError: it could not be stored; the execution will show as interrupted.
        """
        self._require_open()
        with self._lock:
            tip = self._resume_at_end()
            if not tip.sealed:  # as it is when an interrupt came just after the write
                root = f"sha256:{self._end[1].root()}"
                last = Seal(outcome=outcome, error=error, num_records=tip.seq, merkle_root=root)
                self._add(last.kind, records.encode(last), durable=True)
            os.fchmod(self._descriptor, _SEALED_MODE)
            self._close("is sealed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._closed or os.getpid() != self._pid:
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
        if os.getpid() != self._pid:
            problem = f"belongs to process {self._pid}; a forked process begins its own"
        elif self._closed:
            problem = self._closed
        else:
            return
        raise LedgerError(f"{self._path}: nothing can be added: it {problem}")

    def _add(self, kind: str, data: bytes, *, durable: bool) -> int:
        try:
            tip = self._resume_at_end()
            if tip.sealed:
                raise LedgerError(f"{self._path}: nothing can be added: it is sealed")
            raw = render(seq=tip.seq, time=self._now(), kind=kind, data=data, prev=tip.hash)
            self._write(raw + b"\n")
            self._advance(raw, kind=kind)
        except OSError as error:
            raise disk.refused(self._path, error, what="the record is not stored") from error
        if durable or time.monotonic() - self._synced_at >= SYNC_EVERY_S:
            self._sync()
        return tip.seq

    def _resume_at_end(self) -> Tip:
        """Where the file ends, also after an interrupt or a failure in the middle of a write."""
        status = os.fstat(self._descriptor)
        if status.st_nlink == 0:
            raise LedgerError(f"{self._path}: the file was removed while it was written")
        if status.st_size != self._end[0].size_bytes:
            self._end = (Tip(), Tree())
            try:
                for line in follow(self._path.read_bytes().split(b"\n")[:-1], Tip()):
                    self._advance(line.raw, kind=line.kind)
            except ChainError as error:
                raise LedgerError(f"{self._path}: changed while it was written: {error}") from error
            os.ftruncate(self._descriptor, self._end[0].size_bytes)
        return self._end[0]

    def _advance(self, raw: bytes, *, kind: str) -> None:
        tip, tree = self._end
        self._end = (tip.after(raw, kind=kind), tree.add(raw))  # one assignment: never half done

    def _write(self, raw: bytes) -> None:
        written = os.write(self._descriptor, raw)
        while written < len(raw):  # a full disk takes a part, and refuses the rest
            written += os.write(self._descriptor, raw[written:])

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


def _outcome_of(error: BaseException) -> Outcome:
    return "failed" if isinstance(error, Exception) else "interrupted"
