"""What `show` tells."""

import pytest

from repro.errors import LedgerError
from repro.ledger import describe
from tests.ledger.ledgers import TRAIN, execute, path_of, start


def test_a_run_shows_its_executions(tmp_path):
    """A run is shown with its spec and every execution, as plain data."""
    ids = [execute(tmp_path, "one"), execute(tmp_path, "one")]
    execute(tmp_path, "two")

    facts = describe(tmp_path, (start("one").run_id or "")[:6])

    assert (facts["title"], facts["spec"]) == ("one", {"title": "one"})
    assert [each["execution_id"] for each in facts["executions"]] == ids
    shown = facts["executions"][0]
    assert shown["status"] == "done"
    assert shown["stages"][TRAIN] == {
        "kind": "train",
        "name": "train",
        "event": "done",
        "elapsed_s": 2.0,
    }
    assert [each["value"] for each in shown["measurements"]] == [12.5]
    assert [each["role"] for each in shown["artifacts"]] == ["weights"]
    assert shown["broken"] == ""


def test_a_broken_execution_is_shown_up_to_the_break(tmp_path):
    """What still holds is shown, with what broke."""
    execution_id = execute(tmp_path)
    path = path_of(tmp_path, execution_id)
    path.write_bytes(path.read_bytes().replace(b'"step":2', b'"step":9'))

    (shown,) = describe(tmp_path, execution_id)["executions"]

    assert shown["broken"].startswith("record 3: was edited")
    assert shown["measurements"] == []


def test_nothing_to_show(tmp_path):
    """An id that nothing has is an error."""
    with pytest.raises(LedgerError, match="unknown"):
        describe(tmp_path, "ffff")
