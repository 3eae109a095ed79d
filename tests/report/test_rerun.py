"""Two executions of one run, held against each other: how strong a likeness, and where it ends."""

import pytest
from attrs import evolve

from repro.errors import IntegrityError
from repro.report.rerun import compare, lines
from tests.ledger import ledgers
from tests.report import fake
from tests.report.conftest import Project, noise_spec
from tests.report.fake import COMMITTED, SYSTEM, Attempt, Made

CLAIMS = """
schema = 1
title = "Toys"

[specs.a]
path = "../../specs/toy/a.toml"

[[claims]]
kind = "comparison"
name = "near-is-nearer"
text = "Near is nearer than far."
metric = "fid"
left = "a:near"
relation = "less"
right = "a:far"
"""
NEAR, FAR = Made(shift=1.0), Made(shift=3.0)


@pytest.fixture
def first(project: Project):
    """A run of two sets of noise; its id."""
    return project.run(noise_spec("near", "far"), near=NEAR, far=FAR)


def again(project, *, attempt=None, **made):
    """The same run in a ledger of its own: the ledger and the execution."""
    root = project.folder / "again" / "ledger"
    return root, fake.run(root, project.spec, made, attempt=attempt)


def compared(project, first, second):
    root, execution_id = second
    return compare(
        project.root, first, root, execution_id, code="commit c", reports=project.reports
    )


def test_equal_bytes_are_bitwise(project, first):
    """Every artifact and number came out the same."""
    found = compared(project, first, again(project, near=NEAR, far=FAR))

    assert found.grade == "bitwise"
    assert found.deviations == ()


def test_other_bytes_of_the_same_numbers_are_within_tolerance(project, first):
    """Features that moved by less than the numbers show."""
    found = compared(project, first, again(project, near=Made(shift=1.000001), far=FAR))

    assert found.grade == "within tolerance"
    assert [each.stage for each in found.deviations] == ["evaluate near"]
    assert all(each.within for each in found.numbers)


def test_a_claim_can_survive_other_numbers(project, first):
    """The numbers moved visibly; near is still nearer."""
    (project.reports / "toy" / "claims.toml").write_text(CLAIMS)

    found = compared(project, first, again(project, near=Made(shift=1.2), far=FAR))

    assert found.grade == "claim holds"
    assert [(each.name, each.old, each.new) for each in found.claims] == [
        ("near-is-nearer", "supported", "supported")
    ]


def test_a_claim_that_falls_is_a_divergence(project, first):
    """With the new numbers the claim is refuted; the first stage that differs is named."""
    (project.reports / "toy" / "claims.toml").write_text(CLAIMS)

    found = compared(project, first, again(project, near=Made(shift=4.0), far=FAR))

    assert found.grade == "diverged"
    assert [each.new for each in found.claims] == ["refuted"]
    assert next(lines(found)) == f"{found.run_id}  diverged at stage evaluate near"


def test_without_claims_other_numbers_are_a_divergence(project, first):
    """Nothing was claimed, so nothing can hold; the report says so."""
    found = compared(project, first, again(project, near=Made(shift=1.2), far=FAR))

    assert found.grade == "diverged"
    assert "no such file" in found.problem


def test_a_claims_file_that_cannot_be_read_loses_nothing(project, first):
    """The comparison stands, and says what is wrong with the file."""
    (project.reports / "toy" / "claims.toml").write_text("title = 1")

    found = compared(project, first, again(project, near=Made(shift=1.2), far=FAR))

    assert "title" in found.problem


def test_what_differs_in_the_environment_is_named(project, first):
    """Another machine, and nothing of the command line, which is another by nature."""
    machine = evolve(SYSTEM, value={"system": "Linux", "machine": "aarch64"})
    attempt = Attempt(provenance=(COMMITTED, machine))

    found = compared(project, first, again(project, attempt=attempt, near=NEAR, far=FAR))

    assert found.changes == ('system.machine: "x86_64" -> "aarch64"',)


def test_a_reused_stage_is_compared_with_who_did_it(tmp_path):
    """What an earlier execution left counts as the run's own."""
    root, other = tmp_path / "ledger", tmp_path / "again" / "ledger"
    later = ledgers.reuse(root, ledgers.execute(root))

    found = compare(
        root, later, other, ledgers.execute(other), code="commit c", reports=tmp_path / "reports"
    )

    assert found.grade == "bitwise"


def test_a_broken_segment_cannot_be_compared(tmp_path):
    """The file and the record are named."""
    root = tmp_path / "ledger"
    execution_id = ledgers.execute(root)
    path = ledgers.path_of(root, execution_id)
    path.write_bytes(path.read_bytes().replace(b"12.5", b"11.5"))

    with pytest.raises(IntegrityError, match="was edited"):
        compare(root, execution_id, root, execution_id, code="", reports=tmp_path)


def test_a_comparison_leaves_nothing_behind(project, first):
    """The two ledgers are as they were."""
    second = again(project, near=NEAR, far=FAR)

    compared(project, first, second)

    assert [each.name for each in second[0].parent.iterdir()] == ["ledger"]
