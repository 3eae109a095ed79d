"""The ledger as a report reads it."""

import pytest

from repro.ledger import segment
from repro.report.archive import Archive
from tests.ledger.ledgers import execute, start


@pytest.mark.parametrize(("lives", "outcome"), [(True, "open"), (False, "interrupted")])
def test_a_killed_execution_was_interrupted(tmp_path, monkeypatch, lives, outcome):
    """Without a seal, a report tells one that still works from one that died."""
    sealed = execute(tmp_path)
    unsealed = segment.begin(tmp_path, start()).execution_id
    monkeypatch.setattr("repro.ledger.machine.alive", lambda _: lives)

    executions = Archive(tmp_path).executions

    assert {name: each.outcome for name, each in executions.items()} == {
        sealed: "done",
        unsealed: outcome,
    }


def test_an_execution_whose_segment_is_gone_is_open(tmp_path):
    """The database still knows it; how it ended nobody does."""
    unsealed = segment.begin(tmp_path, start()).execution_id
    assert Archive(tmp_path).executions[unsealed].outcome == "open"

    (tmp_path / "segments" / f"{unsealed}.jsonl").unlink()

    assert Archive(tmp_path).executions[unsealed].outcome == "open"
