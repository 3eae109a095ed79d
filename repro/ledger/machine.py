"""Which process, on which machine, since which boot: enough to tell later if it still lives."""

import os
import platform
from pathlib import Path

from attrs import frozen

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATE, _START_TICKS = 0, 19  # of /proc/<pid>/stat, counted after the name (proc(5))
_ENDED = -1  # instead of the start of a process that only waits to be collected


@frozen(kw_only=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number.

    `process_start` counts clock ticks since boot; it is 0 where the system does not tell.
    `pid_namespace` says which container's numbers `pid` is one of.
    """

    host: str
    pid: int
    boot_id: str
    process_start: int
    pid_namespace: str = ""


def this_process() -> Process:
    pid = os.getpid()
    return Process(
        host=platform.node(),
        pid=pid,
        boot_id=_boot_id(),
        process_start=_start_ticks(pid) or 0,
        pid_namespace=_pid_namespace(),
    )


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def alive(process: Process) -> bool:
    """Whether this very process still runs, as far as this machine can know.

    False for a process of another machine, for a zombie, and where the number has gone to another
    process.
    """
    if not is_here(process):
        return False
    started = _start_ticks(process.pid)
    if started is None:  # ended, or the system tells nothing of others' processes
        return _has_process(process.pid)
    return started != _ENDED and process.process_start in (0, started)


def is_here(process: Process) -> bool:
    """Whether this machine, since this boot and in this container, can see such a process.

    Names of machines repeat, so a process of another boot counts as one of another machine.
    """
    here = (platform.node(), _boot_id(), _pid_namespace())
    return here == (process.host, process.boot_id, process.pid_namespace)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _start_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    columns = stat.rpartition(")")[2].split()  # a process may have ")" in its name
    return _ENDED if columns[_STATE] in "ZX" else int(columns[_START_TICKS])


def _has_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
