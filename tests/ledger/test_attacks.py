"""Attacks on a copy of a real ledger: every one is detected, and what it did is named.

The slow test cuts a segment at every byte with the whole of `verify`; it is run before a release.
"""

import shutil
from pathlib import Path

import pytest
from attrs import frozen

from repro.ledger import examine, take_head, verify
from repro.ledger.against import against
from repro.ledger.fold import fold
from tests.ledger import attacks
from tests.ledger.ledgers import execute, path_of, reuse

NUM_CUT = 3


@frozen(kw_only=True)
class Kept:
    """A ledger, its copy of yesterday, and what somebody keeps elsewhere."""

    root: Path
    yesterday: Path
    head: str
    statement: Path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Two executions yesterday and two today, folded, with a head of each day."""
    folder = tmp_path_factory.mktemp("attacks")
    root, yesterday, statement = (folder / name for name in ("ledger", "yesterday", "head.json"))
    earlier = execute(root, "one")
    execute(root, "two")
    fold(root)
    take_head(root)
    shutil.copytree(root, yesterday)
    reuse(root, earlier, "three")
    execute(root, "four")
    fold(root)
    head = take_head(root, out=statement).head
    return Kept(root=root, yesterday=yesterday, head=head, statement=statement)


@pytest.fixture
def copy(kept: Kept, tmp_path: Path) -> Path:
    """A copy to attack."""
    shutil.copytree(kept.root, tmp_path / "ledger")
    return tmp_path / "ledger"


def test_a_copy_that_nobody_attacked_is_whole(kept, copy):
    """What the attacks start from has no findings, against its head neither."""
    assert examine(copy, head=kept.head).findings == ()


@pytest.mark.parametrize("attack", attacks.PLAIN.values(), ids=attacks.PLAIN)
def test_an_attack_is_named(copy, attack):
    """The file and the record that were attacked are named, and nothing else is."""
    named = attack(copy)

    findings = verify(copy)

    assert [(each.file, each.record) for each in findings] == named


@pytest.mark.parametrize("attack", attacks.FORGED.values(), ids=attacks.FORGED)
def test_a_forger_is_betrayed_by_the_statement(kept, copy, attack):
    """Who makes everything in the folder fit is found by a statement that was kept elsewhere."""
    ((file, _),) = attack(copy)
    assert verify(copy) == []

    findings = examine(copy, head=str(kept.statement)).findings

    assert [each.file for each in findings] == [file]


@pytest.mark.parametrize("attack", attacks.FORGED.values(), ids=attacks.FORGED)
def test_a_forger_is_betrayed_by_the_digest(kept, copy, attack):
    """The digest alone is enough to know that the ledger is not the one that it was."""
    attack(copy)

    (finding,) = examine(copy, head=kept.head).findings

    assert (finding.file, finding.expected) == ("heads", kept.head)


@pytest.mark.parametrize("attack", [attacks.edit_record, attacks.delete_segment])
def test_a_head_in_the_ledger_betrays_who_forgot_it(copy, attack):
    """Whoever makes the database anew, but leaves the heads, is found by these."""
    ((file, _),) = attack(copy)
    (copy / "ledger.duckdb").unlink()
    (copy / ".index.duckdb").unlink()

    assert [each.file for each in verify(copy)] == [file]


def test_a_ledger_rolled_back_is_found(kept, copy):
    """Yesterday's copy is whole in itself; today's head names all that it lacks."""
    today = {path.stem for path in (copy / "segments").iterdir()}
    attacks.roll_back(copy, kept.yesterday)
    lacking = today - {path.stem for path in (copy / "segments").iterdir()}
    assert verify(copy) == []

    by_digest = against(copy, kept.head)
    by_statement = against(copy, str(kept.statement))

    assert [each.problem for each in by_digest] == [
        "the head was never taken here: the ledger was rolled back, or is another one"
    ]
    assert [each.file for each in by_statement] == sorted(map(attacks.file_of, lacking))
    assert {each.found for each in by_statement} == {"no file"}


def places_of_cuts(whole: bytes) -> range:
    """Every length that ends in one of the last three records."""
    lines = whole.splitlines(keepends=True)
    return range(sum(map(len, lines[:-NUM_CUT])), len(whole))


def test_every_cut_of_the_last_records_is_named_by_the_head(kept, copy):
    """Wherever in the last three records a segment ends, the statement names it."""
    name = attacks.first(copy)
    path = path_of(copy, name)
    whole = path.read_bytes()

    named = []
    for size_bytes in places_of_cuts(whole):
        path.write_bytes(whole[:size_bytes])
        named.append([each.file for each in against(copy, str(kept.statement))])

    assert named == [[attacks.file_of(name)]] * len(places_of_cuts(whole))


@pytest.mark.parametrize("step", [101, pytest.param(1, marks=pytest.mark.slow)])
def test_every_cut_of_the_last_records_is_named(copy, step):
    """Verification names the segment and the first record that is no longer whole."""
    name = attacks.first(copy)
    path = path_of(copy, name)
    whole = path.read_bytes()

    for size_bytes in places_of_cuts(whole)[::step]:
        path.write_bytes(whole[:size_bytes])
        record = whole[:size_bytes].count(b"\n")

        assert [(each.file, each.record) for each in verify(copy)] == [
            (attacks.file_of(name), record)
        ]
