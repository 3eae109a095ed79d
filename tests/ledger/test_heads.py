"""One digest over all seals, its statement, and the ledger held to it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from repro import digest
from repro.errors import IntegrityError, LedgerError
from repro.ledger import head, query, segment, take_head, verify
from repro.ledger.against import against, against_kept
from repro.ledger.fold import fold
from repro.ledger.heads import seals, statement
from tests.ledger.keys import key_pair
from tests.ledger.ledgers import execute, lines_of, path_of, start


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A ledger with two sealed executions and an open one."""
    folder = tmp_path / "ledger"
    execute(folder, "one")
    execute(folder, "two")
    segment.begin(folder, start("open"))
    return folder


def first(root: Path) -> str:
    return min(path.stem for path in (root / "segments").iterdir())


def test_head_changes_with_every_seal(tmp_path):
    """The head is the same until another execution is sealed, whatever else happens."""
    heads: list[Any] = [(execute(tmp_path, name), head(tmp_path))[1] for name in ("one", "two")]
    segment.begin(tmp_path, start("open"))
    fold(tmp_path)

    assert len({*heads}) == 2
    assert head(tmp_path) == heads[-1]


def test_head_misses_a_removed_seal(tmp_path):
    """Cutting off a seal, or removing an execution, changes the head."""
    execute(tmp_path, "one")
    name = execute(tmp_path, "two")
    before = head(tmp_path)
    path_of(tmp_path, name).write_bytes(b"".join(lines_of(tmp_path, name)[:-1]))

    assert head(tmp_path) != before
    assert query(tmp_path, "SELECT count(*) FROM executions WHERE outcome = 'open'").rows == ((1,),)


def test_no_ledger_has_no_head(tmp_path):
    """Where there is no ledger there is no digest over its seals."""
    with pytest.raises(LedgerError, match="no ledger here"):
        head(tmp_path)


def test_a_statement_lists_every_seal(root):
    """Sealed executions in order of id, each with the hash at the end of its last line."""
    said = json.loads(statement(root))

    sealed = sorted(path.stem for path in (root / "segments").iterdir())[:2]
    hashes = [json.loads(lines_of(root, each)[-1])["hash"] for each in sealed]
    assert said["subject"] == [
        {"name": name, "digest": {"sha256": hash_}}
        for name, hash_ in zip(sealed, hashes, strict=True)
    ]


def test_a_statement_is_an_in_toto_statement(root):
    """Its members are those of in-toto's Statement v1, and its form is canonical."""
    said = json.loads(statement(root))

    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said.keys() == {"_type", "subject", "predicateType", "predicate"}
    assert statement(root) == digest.canonical(said)


def test_the_head_is_the_digest_of_the_statement_that_is_kept(root):
    """Anybody can check it with sha256sum."""
    taken = take_head(root)

    (path,) = taken.files
    assert path == root / "heads" / f"{taken.head.removeprefix('sha256:')}.json"
    assert digest.sha256_file(path) == taken.head == head(root)


def test_a_long_seal_is_found(tmp_path):
    """An error message may make the last line longer than what is read first."""
    execution = segment.begin(tmp_path, start())
    execution.seal("failed", "long " * 10_000)

    assert list(seals(tmp_path)) == [execution.execution_id]


def test_a_head_of_the_present_fits(root):
    """The ledger as it is contradicts neither its head nor the statement, wherever it is."""
    taken = take_head(root, out=root.parent / "kept.json")

    assert against(root, taken.head) == []
    assert against(root, taken.head.removeprefix("sha256:")) == []
    assert against(root, str(taken.files[1])) == []


def test_later_seals_do_not_contradict_a_head(root):
    """A head is still true when more has been sealed."""
    taken = take_head(root, out=root.parent / "kept.json")
    execute(root, "three")

    assert head(root) != taken.head
    assert against(root, taken.head) == against(root, str(taken.files[1])) == []


def test_a_changed_seal_is_named(root):
    """Both hashes are shown."""
    taken, name = take_head(root), first(root)
    before = json.loads(lines_of(root, name)[-1])["hash"]
    path_of(root, name).write_bytes(b"".join(lines_of(root, first(root))[:-1]))

    (finding,) = against(root, taken.head)

    assert finding.file == f"segments/{name}.jsonl"
    assert (finding.expected, finding.found) == (f"seal {before}", "no seal")


def test_an_unknown_head_is_a_finding(root):
    """A digest that was never taken here means another ledger, or an older copy of this one."""
    (finding,) = against(root, f"sha256:{'0' * 64}")

    assert "rolled back" in finding.problem
    assert finding.found == head(root)


def test_a_kept_statement_that_was_changed_is_a_finding(root):
    """A statement is held to its own name, also by a verification that asks for no head."""
    taken = take_head(root)
    (path,) = taken.files
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(first(root).encode(), b"another"))

    (finding,) = verify(root)

    assert (finding.file, finding.expected) == (f"heads/{path.name}", taken.head)


def test_many_heads_name_a_segment_once(root):
    """A removed execution contradicts every later head; it is one finding."""
    take_head(root)
    name = first(root)
    execute(root, "three")
    take_head(root)
    path_of(root, name).unlink()

    assert [each.file for each in against_kept(root)] == [f"segments/{name}.jsonl"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no JSON", "is no statement over seals"),
        (b"[]", "is no statement over seals"),
        (b'{"_type":"x","predicateType":"y","subject":[]}', "found 'y'"),
        (b'{"_type":"x","predicateType":"y","subject":[{}]}', "is no statement over seals"),
    ],
    ids=["text", "list", "other", "nameless"],
)
def test_a_file_that_is_no_statement_is_an_error(root, tmp_path, content, problem):
    """What cannot be compared is no finding: exit status 2."""
    path = tmp_path / "other.json"
    path.write_bytes(content)

    with pytest.raises(LedgerError, match=problem):
        against(root, str(path))


def test_what_is_no_statement_among_the_heads_is_a_finding(root):
    """A file that somebody put there, under its right digest, is told."""
    path = root / "heads" / f"{digest.sha256(b'[]').removeprefix('sha256:')}.json"
    path.parent.mkdir()
    path.write_bytes(b"[]")

    assert [each.file for each in against_kept(root)] == [f"heads/{path.name}"]


def test_a_head_that_is_no_file_is_an_error(root):
    """The message says what a head looks like."""
    with pytest.raises(LedgerError, match="64 hex digits"):
        against(root, "sha256:123")


def test_a_ledger_that_cannot_be_written_has_a_head(root):
    """It is printed all the same, and the message says why it was not kept."""
    (root / "heads").write_text("in the way", encoding="utf-8")

    taken = take_head(root)

    assert (taken.head, taken.files) == (head(root), ())
    assert "the head is not kept" in taken.problem


def test_a_statement_that_is_kept_already_is_not_written_again(root):
    """Taking the same head twice changes nothing."""
    (path,) = take_head(root).files
    before = path.stat().st_mtime_ns, path.stat().st_ino

    take_head(root)

    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_place_that_cannot_be_written_is_an_error(root, tmp_path):
    """Who asked for a copy elsewhere must know that there is none."""
    (tmp_path / "file").touch()

    with pytest.raises(LedgerError, match=re.escape(str(tmp_path / "file" / "head.json"))):
        take_head(root, out=tmp_path / "file" / "head.json")


def test_a_signed_head_is_kept_beside_the_other(root, tmp_path):
    """Without a place for it, the envelope lies in the ledger, and fits there."""
    private, public = key_pair(tmp_path)

    taken = take_head(root, private_key=private)

    statement_, envelope = taken.files
    assert envelope == statement_.with_suffix(".dsse.json")
    assert against(root, str(envelope), key=public) == []
    assert verify(root) == []


def test_a_signed_head_names_what_is_gone(root, tmp_path):
    """A signed head is held against the ledger as any other is."""
    private, public = key_pair(tmp_path)
    out = tmp_path / "head.dsse.json"
    take_head(root, private_key=private, out=out)
    name = first(root)
    path_of(root, name).unlink()

    findings = against(root, str(out), key=public)

    assert [each.file for each in findings] == [f"segments/{name}.jsonl"]


def test_a_head_signed_by_another_is_refused(root, tmp_path):
    """Exit status 1: the answer is no."""
    private, _ = key_pair(tmp_path, "mine")
    _, public = key_pair(tmp_path, "other")
    out = tmp_path / "head.dsse.json"
    take_head(root, private_key=private, out=out)

    with pytest.raises(IntegrityError, match="is by a key of"):
        against(root, str(out), key=public)


def test_a_signature_is_never_left_unchecked(root, tmp_path):
    """A signed head wants a key, and a key wants a signed head."""
    private, public = key_pair(tmp_path)
    out = tmp_path / "head.dsse.json"
    taken = take_head(root, private_key=private, out=out)

    with pytest.raises(LedgerError, match="is signed; give the public key"):
        against(root, str(out))
    with pytest.raises(LedgerError, match="is not signed"):
        against(root, str(taken.files[0]), key=public)
    with pytest.raises(LedgerError, match="a digest is not signed"):
        against(root, taken.head, key=public)
