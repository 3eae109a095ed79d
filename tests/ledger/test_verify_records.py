"""The records of some executions, read again without their artifacts."""

import pytest

from repro import digest
from repro.errors import LedgerError
from repro.ledger import query, store
from repro.ledger.verification import verify_records
from tests.ledger.ledgers import execute, path_of, reuse


@pytest.fixture
def two(tmp_path):
    """A folded ledger with two executions of one run each."""
    names = [execute(tmp_path, name) for name in ("one", "two")]
    query(tmp_path, "SELECT 1")
    return tmp_path, *names


def edit(root, execution_id):
    """Change a number in a record."""
    path = path_of(root, execution_id)
    path.write_bytes(path.read_bytes().replace(b"12.5", b"11.5"))


def test_what_is_as_it_was_recorded_is_no_finding(two):
    """Neither of one execution nor of both."""
    root, one, other = two

    assert verify_records(root, [one]) == verify_records(root, [one, other]) == []


def test_an_edited_record_is_found_and_named(two):
    """By the file of its execution; the other execution is as it was."""
    root, one, other = two
    edit(root, one)

    assert verify_records(root, [one, other])[0].file == f"segments/{one}.jsonl"
    assert verify_records(root, [other]) == []


def test_the_records_that_an_execution_rests_on_are_read_too(two):
    """A run that reused everything rests on the execution that did it."""
    root, one, _ = two
    later = reuse(root, one, "three")
    query(root, "SELECT 1")
    edit(root, one)

    assert verify_records(root, [later])[0].file == f"segments/{one}.jsonl"


def test_a_missing_segment_is_found(two):
    """The database remembers it."""
    root, one, _ = two
    path_of(root, one).unlink()

    assert [each.problem for each in verify_records(root, [one])] == ["the segment is missing"]


def test_artifacts_are_not_read(two):
    """Whoever needs one checks it: `store.check` and `verify` do."""
    root, one, _ = two
    store.path_of(root, digest.sha256(b"one")).unlink()

    assert verify_records(root, [one]) == []


def test_without_a_ledger_there_is_nothing_to_verify(tmp_path):
    """An empty folder is no ledger with nothing wrong."""
    with pytest.raises(LedgerError, match="no ledger here"):
        verify_records(tmp_path, ["x"])
