"""Clocks that are set back: order is that of the sequence numbers and of the ids."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from repro.ledger import history, query, segment, store, verify
from repro.ledger.records import Decision
from tests.ledger.ledgers import EVALUATE, event, measurement, start

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def backwards() -> Callable[[], datetime]:
    """A clock that is an hour earlier at every look."""
    moments: Iterator[datetime] = (NOON - timedelta(hours=each) for each in count())
    return lambda: next(moments)


def measure_at(root: Path, moment: datetime, value: float) -> str:
    """An execution of one run, with the clock at this moment; its id."""
    with segment.begin(root, start(), now=lambda: moment) as execution:
        store.put_bytes(root, b"images")
        execution.append(measurement(value))
        execution.append(event(EVALUATE, "done"))
    return execution.execution_id


def test_records_keep_the_order_in_which_they_came(tmp_path):
    """Times run backwards, sequence numbers do not, and nothing is broken."""
    with segment.begin(tmp_path, start(), now=backwards()) as execution:
        sequence = [execution.append(Decision(topic=f"{number}")) for number in range(5)]

    rows = query(tmp_path, "SELECT seq, topic, recorded_at FROM decisions ORDER BY seq").rows
    times = [time for _, _, time in rows]
    assert [(seq, topic) for seq, topic, _ in rows] == [(seq, f"{seq - 1}") for seq in sequence]
    assert times == sorted(times, reverse=True)
    assert verify(tmp_path) == []


@pytest.mark.parametrize("hours", [0, 1, 24 * 400])
def test_executions_keep_the_order_in_which_they_began(tmp_path, hours):
    """An execution that began later has a later id, wherever the clock was set in between."""
    first = measure_at(tmp_path, NOON, 1.0)
    second = measure_at(tmp_path, NOON - timedelta(hours=hours), 2.0)
    third = measure_at(tmp_path, NOON - timedelta(hours=hours, microseconds=1), 3.0)

    assert [each.execution_id for each in history.executions(tmp_path)] == [first, second, third]
    assert first < second < third
    assert verify(tmp_path) == []


def test_the_newest_number_of_a_run_is_the_one_that_came_last(tmp_path):
    """What a run is said to have resulted in does not hang on the clock."""
    measure_at(tmp_path, NOON, 1.0)
    measure_at(tmp_path, NOON - timedelta(days=1), 2.0)

    assert query(tmp_path, "SELECT value FROM results").rows == ((2.0,),)
    assert history.done_stages(tmp_path, [EVALUATE])[EVALUATE].measurements[0].value == 2.0


def test_an_id_says_when_an_execution_began(tmp_path):
    """While the clock runs on, the id is the time; a stranger's file among the segments is not."""
    measure_at(tmp_path, NOON, 1.0)
    (tmp_path / "segments" / "99991231T000000000000-notes.jsonl").touch()

    found = measure_at(tmp_path, NOON + timedelta(seconds=1), 2.0)

    assert found.startswith("20260131T120001000000-")
