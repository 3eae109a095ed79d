"""Telling a living process from a dead one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from repro.ledger import machine


@pytest.mark.parametrize(
    "change",
    [{"process_start": 1}, {"boot_id": "another"}, {"host": "another"}, {"pid_namespace": "other"}],
)
def test_a_number_is_not_a_process(change):
    """A later process with the same number, another boot, machine, container: not this one."""
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


def test_a_process_that_the_system_hides_lives(monkeypatch):
    """A machine that tells nothing of others' processes still says which numbers are in use."""
    monkeypatch.setattr(machine, "_start_ticks", lambda _: None)
    first = evolve(machine.this_process(), pid=1, process_start=7)

    assert machine.alive(first)


@pytest.mark.parametrize(
    ("change", "here"),
    [({"pid": 1}, True), ({"boot_id": "another"}, False), ({"pid_namespace": "another"}, False)],
)
def test_a_process_is_here_where_its_number_means_the_same(change, here):
    """A process of another boot or container cannot be looked up by its number."""
    assert machine.is_here(evolve(machine.this_process(), **change)) is here
