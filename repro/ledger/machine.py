"""Which process, on which machine, since which boot: enough to tell later if it still lives."""

import os
import platform
from pathlib import Path

from attrs import frozen

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATE, _START_TICKS = 0, 19  # of /proc/<pid>/stat, counted after the name (proc(5))


@frozen(kw_only=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number.

    `process_start` counts clock ticks since boot; it is 0 where the system does not tell.
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


def alive(process: Process) -> bool:
    """Whether this very process still runs, as far as this machine can know.

    False for a process of another machine, of an earlier boot, for a zombie, and where the number
    has gone to another process.
    """
    if not is_here(process) or process.boot_id != _boot_id():
        return False
    if process.process_start:
        return _start_ticks(process.pid) == process.process_start
    return _has_process(process.pid)


def is_here(process: Process) -> bool:
    """Whether this is a process of this machine, of this boot or an earlier one."""
    return process.host == platform.node()


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
    return None if columns[_STATE] in "ZX" else int(columns[_START_TICKS])


def _has_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
