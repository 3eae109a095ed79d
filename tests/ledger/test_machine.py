"""Telling a living process from a dead one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from repro.ledger import machine


@pytest.mark.parametrize(
    "change", [{"process_start": 1}, {"boot_id": "another"}, {"host": "another"}]
)
def test_a_number_is_not_a_process(change):
    """A later process with the same number, another boot, another machine: not this one."""
    ours = machine.this_process()

    assert machine.alive(ours)
    assert not machine.alive(evolve(ours, **change))


@pytest.fixture
def ended() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has ended and waits to be collected."""
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield process


def test_a_zombie_is_dead(ended):
    """A process that has ended, and waits to be collected, does not run."""
    assert not machine.alive(evolve(machine.this_process(), pid=ended.pid))


def test_without_proc(ended, monkeypatch):
    """Where the system tells nothing about processes, a number in use is taken for alive."""
    monkeypatch.setattr(machine, "_BOOT_ID", Path("/nowhere"))
    monkeypatch.setattr(machine, "_start_ticks", lambda _: None)
    ours = machine.this_process()
    ended.wait()

    assert (ours.boot_id, ours.process_start) == ("", 0)
    assert machine.alive(ours)
    assert not machine.alive(evolve(ours, pid=ended.pid))
    assert machine.alive(evolve(ours, pid=1))
