"""kill -9 at any moment: what was acknowledged is there, and the next command works.

The full counts are in `tools/bench/bench_crashes.py`.
"""

from pathlib import Path

import pytest

from repro.ledger import Table, gc, query
from tests.ledger.crashes import suites
from tests.ledger.ledgers import execute


@pytest.mark.parametrize(("writers", "moments"), [(1, 10), (8, 5)])
def test_killed_writers_lose_nothing(tmp_path, writers, moments):
    """Every acknowledged record of a killed writer is there, once."""
    tally = suites.killed_writers(tmp_path, moments=moments, writers=writers)

    assert tally.wrong == []
    assert (tally.moments, tally.acknowledged > 0) == (moments, True)


def test_killed_stores_leave_no_half_artifact(tmp_path):
    """Every acknowledged artifact is there, whole, also when several store the same bytes."""
    tally = suites.killed_stores(tmp_path, moments=6)

    assert tally.wrong == []
    assert (tally.moments, tally.acknowledged > 0) == (6, True)


def test_killed_folds_leave_a_database_that_heals(tmp_path):
    """The tables equal the segments at the next question, whatever a killed fold left."""
    tally = suites.killed_folds(tmp_path, moments=6)

    assert tally.wrong == []
    assert (tally.moments, tally.acknowledged > 0) == (6, True)


def test_killed_collections_remove_nothing_that_is_needed(tmp_path):
    """Of what living writers recorded nothing goes, and what goes has left a tombstone."""
    tally = suites.killed_collections(tmp_path, moments=5)

    assert tally.wrong == []
    assert (tally.moments, tally.acknowledged > 0) == (5, True)


def test_a_collection_does_not_miss_an_execution_that_begins_meanwhile(tmp_path, monkeypatch):
    """A segment that is younger than the look at the folder is no lost one."""
    execute(tmp_path)

    def asked_late(root: Path, sql: str) -> Table:
        execute(root, "meanwhile")
        return query(root, sql)

    monkeypatch.setattr(gc, "query", asked_late)

    assert gc.collect(tmp_path).gone == ()


@pytest.mark.parametrize(
    ("victim", "fault", "calls"),
    [
        ("write once", "killed", range(0, 100, 8)),
        ("write once", "torn", range(4, 100, 8)),
        ("keep once", "torn", range(12, 100, 5)),
        ("fold once", "killed", range(13, 100, 4)),
        ("collect once", "killed", range(60, 200, 10)),
    ],
)
def test_a_kill_between_any_two_system_calls(tmp_path, victim, fault, calls):
    """Killed before a chosen system call, or in the middle of it, a process loses nothing."""
    tally = suites.met_at_calls(tmp_path, victim, fault, calls=calls)

    assert tally.wrong == []
    assert tally.moments > 2
