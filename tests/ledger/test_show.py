"""What `show` tells."""

import pytest
from attrs import evolve

from repro import digest
from repro.errors import IntegrityError, LedgerError
from repro.ledger import describe, segment
from tests.ledger.ledgers import EVALUATE, PLAN, TRAIN, execute, path_of, reuse, start


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
    path.write_bytes(path.read_bytes().replace(b'"steps":[2]', b'"steps":[9]'))

    (shown,) = describe(tmp_path, execution_id)["executions"]

    assert shown["broken"].startswith("record 3: was edited")
    assert shown["measurements"] == []


def test_nothing_to_show(tmp_path):
    """An id that nothing has is an error."""
    execute(tmp_path)

    with pytest.raises(LedgerError, match="begins no run"):
        describe(tmp_path, "ffff")


def test_what_was_reused_is_shown(tmp_path):
    """An execution that only reused shows the numbers under its own names, and who measured."""
    earlier = execute(tmp_path, "one")
    plan = (*PLAN, {**PLAN[1], "name": "again"})
    later = reuse(tmp_path, earlier, "two", plan=plan)

    (shown,) = describe(tmp_path, later)["executions"]

    assert shown["stages"][EVALUATE]["event"] == "reused"
    assert [
        (each["evaluation"], each["value"], each["measured_by"]) for each in shown["measurements"]
    ] == [("last", 12.5, earlier), ("again", 12.5, earlier)]
    assert shown["broken"] == ""


@pytest.mark.parametrize("damage", ["cut", "removed"])
def test_a_broken_link_of_what_was_reused_is_shown(tmp_path, damage):
    """What broke where a stage was reused from is told, with the execution."""
    earlier = execute(tmp_path, "one")
    later = reuse(tmp_path, earlier, "two")
    path = path_of(tmp_path, earlier)
    if damage == "cut":
        path.write_bytes(path.read_bytes().replace(b'"steps":[2]', b'"steps":[9]'))
    else:
        path.unlink()

    (shown,) = describe(tmp_path, later)["executions"]

    assert shown["broken"].startswith(f"{earlier}: ")
    assert shown["measurements"] == []


@pytest.mark.parametrize(
    ("canonical_spec", "problem"),
    [('{"title":"two"}', "not the digest of its spec"), ("tomato", "the spec is not JSON")],
)
def test_a_run_is_held_to_its_spec(tmp_path, canonical_spec, problem):
    """Nothing is shown as a run whose id its recorded spec does not give."""
    given = digest.xxh3_128(canonical_spec.encode()) if canonical_spec == "tomato" else "0" * 32
    with segment.begin(
        tmp_path, evolve(start("one"), run_id=given, canonical_spec=canonical_spec)
    ) as execution:
        pass

    with pytest.raises(IntegrityError, match=rf"record 0: .*{problem}: expected .*, found"):
        describe(tmp_path, execution.execution_id)


def test_every_id_begins_with_nothing(tmp_path):
    """An empty id names nothing, although every id begins so."""
    execute(tmp_path)

    with pytest.raises(LedgerError, match="an empty id"):
        describe(tmp_path, "")


def test_no_ledger_shows_nothing(tmp_path):
    """Where there is no ledger, the answer says so."""
    with pytest.raises(LedgerError, match="no ledger here"):
        describe(tmp_path, "ffff")
