"""A fault at a chosen system call: the process is killed there, or the disk is full from there on.

Only calls that change files count. What C code writes (DuckDB, a copied file) is out of reach here:
`limited_files` stops that.
"""

import errno
import math
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

_CHANGES = (
    "open",
    "write",
    "sendfile",
    "fsync",
    "ftruncate",
    "mkdir",
    "rename",
    "replace",
    "link",
    "unlink",
    "chmod",
    "fchmod",
    "utime",
)
_NEEDS_SPACE = {"open", "write", "sendfile", "fsync", "mkdir", "rename", "replace", "link"}

Call = Callable[..., Any]
Fault = Callable[[str, Call, tuple[Any, ...]], Any]


class Calls:
    """How many calls that change files there were."""

    def __init__(self) -> None:
        self.number = 0


@contextmanager
def counted(fault: Fault, *, first: int, number: float = math.inf) -> Iterator[Calls]:
    """From call *first* on, for a *number* of calls, let *fault* answer in place of the system."""
    calls = Calls()

    def watched(name: str, call: Call) -> Call:
        def watch(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & os.O_CREAT:
                return call(*arguments, **options)
            calls.number += 1
            if first < calls.number <= first + number:
                return fault(name, lambda *given: call(*given, **options), arguments)
            return call(*arguments, **options)

        return watch

    with ExitStack() as patches:
        for name in _CHANGES:
            patches.enter_context(mock.patch.object(os, name, watched(name, getattr(os, name))))
        yield calls


def killed(_name: str, _call: Call, _arguments: tuple[Any, ...]) -> Any:
    """Killed just before the call."""
    os.kill(os.getpid(), signal.SIGKILL)


def torn(name: str, call: Call, arguments: tuple[Any, ...]) -> Any:
    """Killed just after the call; of a write, after half of its bytes."""
    if name == "write":
        descriptor, data = arguments
        arguments = (descriptor, data[: len(data) // 2])
    try:
        call(*arguments)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def full(name: str, call: Call, arguments: tuple[Any, ...]) -> Any:
    """No space left, for whatever needs any; of a write, for half of its bytes."""
    if name == "write":
        descriptor, data = arguments
        call(descriptor, data[: len(data) // 2])
    if name in _NEEDS_SPACE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return call(*arguments)


FAULTS: dict[str, tuple[Fault, float]] = {
    "killed": (killed, 1),
    "torn": (torn, 1),
    "full": (full, math.inf),
    "full once": (full, 1),
}
"""Each with the number of calls for which it lasts."""


@contextmanager
def limited_files(size_bytes: int) -> Iterator[None]:
    """No file can grow beyond this size, whoever writes it: errors as on a full disk.

    The system would say so by a signal, which Python ignores, and by an error then.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
