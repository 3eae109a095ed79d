"""What a report verifies and reads together, for all executions at once."""

import pytest

from repro.ledger.connection import connect, published_path
from repro.ledger.verification import verify_records
from repro.report.archive import Archive
from tests.ledger.ledgers import path_of
from tests.report.conftest import noise_spec
from tests.report.fake import Attempt


@pytest.fixture
def three(project):
    """An archive of three runs, and the stages that they measured; the second was edited."""
    ids = [project.run(noise_spec(name)) for name in ("a", "b", "c")]
    archive = Archive(project.root)
    stage_ids = list(archive.rows)
    path = path_of(project.root, ids[1])
    path.write_bytes(path.read_bytes().replace(b"Sets of noise", b"Bags of noise"))
    return archive, ids, stage_ids


@pytest.fixture
def verified(monkeypatch):
    """The executions of each call that verifies records."""
    calls = []

    def counted(root, execution_ids):
        calls.append(list(execution_ids))
        return verify_records(root, execution_ids)

    monkeypatch.setattr("repro.report.archive.verify_records", counted)
    return calls


def test_only_the_broken_execution_of_several_is_blamed(three):
    """What is verified together is told apart."""
    archive, ids, stage_ids = three

    archive.expect(stage_ids)

    blamed = [each for each in ids if archive.chain_problem(each)]
    assert blamed == [ids[1]]


def test_the_broken_link_is_named(three):
    """As if the execution had been verified alone."""
    archive, ids, stage_ids = three

    archive.expect(stage_ids)

    assert archive.chain_problem(ids[1]).startswith(f"segments/{ids[1]}.jsonl")
    assert archive.chain_problem(ids[1]) == Archive(archive.root).chain_problem(ids[1])


def test_sound_executions_are_verified_together(project, verified):
    """One reading for all of a study, and none again for each."""
    ids = [project.run(noise_spec(name)) for name in ("a", "b", "c")]
    archive = Archive(project.root)

    archive.expect(list(archive.rows))

    assert [archive.chain_problem(each) for each in ids] == ["", "", ""]
    assert verified == [ids]


def test_all_tables_are_of_one_moment(project):
    """What is recorded while a report is made is in none of its tables."""
    earlier = project.run(noise_spec("a"))
    archive = Archive(project.root)
    assert list(archive.executions) == [earlier]

    later = project.run(attempt=Attempt())

    assert later not in {row.execution_id for rows in archive.rows.values() for row in rows}


def test_what_is_wrong_with_the_database_is_wrong_for_all(project, verified):
    """A changed view is found once, and no execution is taken for sound."""
    ids = [project.run(noise_spec(name)) for name in ("a", "b")]
    archive = Archive(project.root)
    stage_ids = list(archive.rows)
    path = published_path(project.root)
    path.chmod(0o644)
    connection = connect(path, read_only=False)
    connection.execute("CREATE OR REPLACE VIEW denominator AS SELECT 1 AS one")
    connection.close()

    archive.expect(stage_ids)

    assert all("view denominator was changed" in archive.chain_problem(each) for each in ids)
    assert len(verified) == 1
