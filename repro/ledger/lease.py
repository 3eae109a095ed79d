"""Who does what only one may do at a time, on any folder where a file can be created exclusively.

`leases/<key>/<n>`, n = 1, 2, 3…: whoever created the highest number holds the key. A key whose
highest number was given back, or whose holder is dead, is taken by creating the next number; of
several who try, the file system lets one. No lock and no rename is needed.

A holder of this machine is dead when its process is. One elsewhere is dead when it has not touched
its file for `LEASE_S` seconds, by the clock of the file system. A holder that slept for so long (a
closed laptop) can therefore be overtaken while it believes to hold the key: it asks `Lease.held`
before it records what it did.

The two highest numbers of a key are never removed, so a listing always shows one that counts.
"""

import errno
import json
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import asdict, frozen

from repro.errors import LedgerError
from repro.ledger import durable, machine
from repro.ledger.machine import Process

LEASE_S = 60.0
"""Not touched for so long, what a process of another machine holds counts as left behind."""

_BEATS = 6  # in LEASE_S: five may be late before anybody notices
_WRITING_S = 5.0  # until a new file says who its holder is; a slower one finds itself overtaken
_FIRST_POLL_S, _LAST_POLL_S = 0.02, 1.0
_GIVEN_BACK = 0.0  # the time of the last touch, as the mark of a key given back: takes no space


class LeaseHeldError(LedgerError):
    """Another holds the key, and did so for as long as one was ready to wait."""


@frozen(kw_only=True)
class Holder:
    """Who holds a key. `process` is none in the moment in which its file is being written."""

    execution_id: str = ""
    process: Process | None = None

    def __str__(self) -> str:
        if self.process is None:
            return "another process"
        where = f"process {self.process.pid} on {self.process.host}"
        return f"execution {self.execution_id} ({where})" if self.execution_id else where


@frozen(kw_only=True)
class Lease:
    """A key that this process took, by creating `path`."""

    path: Path

    def held(self) -> bool:
        """Whether nobody has overtaken this process, as another may after this machine slept."""
        _look_anew(self.path.parent)
        return _highest(self.path.parent) == self.path


@contextmanager
def lease(
    root: Path,
    key: str,
    *,
    execution_id: str = "",
    wait_s: float = math.inf,
    on_wait: Callable[[Holder], None] = lambda _: None,
) -> Iterator[Lease]:
    """Hold a key while the block lasts; `on_wait` hears of each holder that is waited for.

    Whoever holds it sees the segments of those who held it before.

    Raises:
        LeaseHeldError: others held it for `wait_s` seconds.
        LedgerError: the ledger's folder cannot be written.
    """
    folder = root / "leases" / key
    process = machine.this_process()
    holder = Holder(execution_id=execution_id, process=process)
    try:
        taken = _taken(folder, holder, deadline=time.monotonic() + wait_s, on_wait=on_wait)
    except OSError as error:
        raise durable.refused(folder, error, what="cannot take the lease") from error
    try:
        _look_anew(root / "segments")
        with heartbeat(taken.path):
            yield taken
    finally:
        if os.getpid() == process.pid:  # and not a forked child of it
            _give_back(taken.path)


@contextmanager
def heartbeat(path: Path) -> Iterator[None]:
    """Touch a file while the block lasts, often enough that nobody takes its owner for dead."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(LEASE_S / _BEATS):
            with suppress(OSError):  # the next beat may succeed; whoever is overtaken will notice
                os.utime(path)

    thread = threading.Thread(target=beat, name=f"heartbeat {path.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def holder_of(root: Path, key: str) -> Holder | None:
    """Who holds a key now, if anybody does."""
    highest = _highest(root / "leases" / key)
    return None if highest is None else _holder(highest)


def left_behind(root: Path, path: Path) -> bool:
    """Whether a file of this ledger has not been touched for `LEASE_S` seconds.

    A last touch in the future says that a clock was set back, and that none has come since.
    """
    return _silent_s(root, path) >= LEASE_S


def _taken(
    folder: Path, holder: Holder, *, deadline: float, on_wait: Callable[[Holder], None]
) -> Lease:
    poll_s, told = _FIRST_POLL_S, None
    while True:
        found = _take(folder, holder)
        if isinstance(found, Lease):
            return found
        if time.monotonic() >= deadline:
            raise LeaseHeldError(f"{folder}: {found} holds it; try again when that has ended")
        if found != told:
            on_wait(found)
            told = found
        time.sleep(min(poll_s, max(0.0, deadline - time.monotonic())))
        poll_s = min(2 * poll_s, _LAST_POLL_S)


def _take(folder: Path, holder: Holder) -> Lease | Holder:
    """The key, or whoever holds it."""
    while True:
        highest = _highest(folder)
        if highest is not None and (other := _holder(highest)):
            return other
        lease = Lease(path=folder / str(1 + (int(highest.name) if highest else 0)))
        if _created(lease.path, holder):
            if lease.held():
                _tidy(lease.path)
                return lease
            _give_back(lease.path)  # late: the number had been used, and removed
        else:
            _look_anew(folder)


def _created(path: Path, holder: Holder) -> bool:
    """Create a number, unless another was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    try:
        said = json.dumps(asdict(holder)).encode()
        if os.write(descriptor, said) < len(said):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:  # a full disk: nobody shall wait for a holder who cannot say who it is
        _give_back(path)
        raise
    finally:
        os.close(descriptor)
    return True


def _highest(folder: Path) -> Path | None:
    try:
        numbers = [int(each.name) for each in folder.iterdir() if each.name.isdecimal()]
    except FileNotFoundError:
        return None
    return folder / str(max(numbers)) if numbers else None


def _look_anew(folder: Path) -> None:
    """Change a folder: until then, a network file system may list it as it was a minute ago."""
    probe = folder / f".{secrets.token_hex(8)}"
    with suppress(OSError):  # full, or only to be read: the listing may be old
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        probe.unlink()


def _holder(path: Path) -> Holder | None:
    """Who holds what this file stands for; none if nobody does any more."""
    try:
        if path.stat().st_mtime == _GIVEN_BACK:
            return None
        holder = _parsed(path.read_bytes())
        if holder.process is not None and machine.is_here(holder.process):
            return holder if machine.alive(holder.process) else None
        patience_s = _WRITING_S if holder.process is None else LEASE_S
        return None if _silent_s(path.parents[2], path) >= patience_s else holder
    except FileNotFoundError:  # removed, as there are higher ones
        return None


def _parsed(data: bytes) -> Holder:
    try:
        value = json.loads(data)
        return Holder(
            execution_id=str(value["execution_id"]),
            process=Process(
                host=str(value["process"]["host"]),
                pid=int(value["process"]["pid"]),
                boot_id=str(value["process"]["boot_id"]),
                process_start=int(value["process"]["process_start"]),
                pid_namespace=str(value["process"]["pid_namespace"]),
            ),
        )
    except (ValueError, KeyError, TypeError):
        return Holder()


def _give_back(path: Path) -> None:
    with suppress(OSError):  # else it is held until this process ends, or falls silent
        os.utime(path, (_GIVEN_BACK, _GIVEN_BACK))


def _silent_s(root: Path, path: Path) -> float:
    return abs(_clock(root) - path.stat().st_mtime)


def _clock(root: Path) -> float:
    """The time by the file system's clock, which is one for all machines that share the folder."""
    probe = root / "leases" / ".clock"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        return probe.stat().st_mtime
    except OSError:  # a folder that can only be read
        return time.time()


def _tidy(path: Path) -> None:
    for number in range(int(path.name) - 2, 0, -1):
        try:
            path.with_name(str(number)).unlink()
        except OSError:  # tidied before, or somebody else's
            return
