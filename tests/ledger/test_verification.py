"""Naming the first broken link."""

import errno
import itertools
import json
import os
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest
from attrs import evolve

from repro import digest
from repro.errors import LedgerError
from repro.ledger import (
    comparison,
    examine,
    head,
    history,
    reading,
    rebuild,
    segment,
    store,
    verify,
)
from repro.ledger.chain import Tip, Tree, render
from repro.ledger.fold import fold
from repro.ledger.records import Decision, Start, Tombstone
from repro.ledger.segment import utc_now
from tests.ledger.ledgers import (
    EVALUATE,
    PLAN,
    TRAIN,
    artifact,
    event,
    execute,
    lines_of,
    measurement,
    path_of,
    reuse,
    start,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A ledger with two executions, folded."""
    execute(tmp_path, "one")
    execute(tmp_path, "two")
    fold(tmp_path)
    return tmp_path


def first(root: Path) -> str:
    """The id of the first execution."""
    return min(path.stem for path in (root / "segments").iterdir())


def test_a_whole_ledger_has_no_findings(root):
    """Nothing is found where nothing is wrong."""
    assert verify(root) == []


def edited(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"steps":[2]', b'"steps":[9]') for line in lines]


@pytest.mark.parametrize(
    ("change", "record"),
    [
        (edited, 3),
        (lambda lines: lines[:4] + lines[5:], 4),
        (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], 4),
        (lambda lines: [*lines[:4], lines[3], *lines[4:]], 4),
        (lambda lines: [*lines, lines[-1]], 12),
        (lambda lines: lines[1:], 0),
        (lambda lines: [b"\n", *lines], 0),
        (lambda lines: [*lines[:-1], lines[-1].replace(b'"done"', b'"gone"')], 11),
        (lambda lines: [*lines[:-1], lines[-1][:-1].upper() + b"\n"], 11),
        (lambda lines: lines[:-2], 10),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], 11),
        (lambda lines: [], 0),
    ],
    ids=[
        *("edited", "removed", "swapped", "repeated", "sealed twice", "beheaded", "blank line"),
        *("edited seal", "shouted seal", "cut", "cut in a line", "emptied"),
    ],
)
@pytest.mark.parametrize("scope", [False, True], ids=["ledger", "execution"])
def test_a_damaged_segment_is_named(root, change, record, scope):
    """The segment and the first record that does not hold are named, once."""
    name = first(root)
    path_of(root, name).write_bytes(b"".join(change(lines_of(root, name))))

    findings = verify(root, name if scope else None)

    assert [(each.file, each.record) for each in findings] == [(f"segments/{name}.jsonl", record)]


def rewritten(lines: list[bytes], root: Path) -> bytes:
    """The same records with another value, chained and sealed anew as only an attacker would."""
    tip, tree, result = Tip(), Tree(), b""
    for line in lines:
        value = json.loads(line)
        data = json.dumps(value["data"], separators=(",", ":")).replace("12.5", "2.5")
        if value["kind"] == "seal":
            seal = {**value["data"], "merkle_root": f"sha256:{tree.root()}"}
            data = json.dumps(seal, separators=(",", ":"))
        raw = render(
            seq=tip.seq, time=utc_now(), kind=value["kind"], data=data.encode(), prev=tip.hash
        )
        tip, tree, result = tip.after(raw, kind=value["kind"]), tree.add(raw), result + raw + b"\n"
    return result


def test_a_segment_written_anew_is_found(root):
    """A forger who recomputes every hash is betrayed by the database and by the head."""
    name, before = first(root), head(root)
    path_of(root, name).write_bytes(rewritten(lines_of(root, name), root))

    (finding,) = verify(root)

    assert finding.file == f"segments/{name}.jsonl"
    assert "written anew" in finding.problem
    assert head(root) != before


def test_a_removed_segment_is_found(root):
    """The database remembers what is gone."""
    name = first(root)
    path_of(root, name).unlink()

    for findings in (verify(root), verify(root, name), verify(root, start("one").run_id)):
        assert [each.file for each in findings] == [f"segments/{name}.jsonl"]
        assert findings[0].problem == "the segment is missing"


def test_findings_about_others_are_left_out(root):
    """One execution, or one run, is verified without the others."""
    name = first(root)
    path_of(root, name).write_bytes(b"".join(edited(lines_of(root, name))))

    assert len(verify(root, start("one").run_id)) == 1
    assert verify(root, start("two").run_id) == []


def test_an_unknown_id_is_an_error(root):
    """What does not exist cannot be verified."""
    with pytest.raises(LedgerError, match="no run and no execution"):
        verify(root, "ffff")


@pytest.mark.parametrize("change", ["edited", "removed", "swapped"])
def test_a_damaged_artifact_is_named(root, change):
    """An artifact that is not what was stored is named, with the record that speaks of it."""
    name = first(root)
    stored = store.put_bytes(root, b"one")
    path = store.locate(root, stored.sha256)
    path.chmod(0o644)
    if change == "edited":
        path.write_bytes(b"onE")
    elif change == "removed":
        path.unlink()
    else:
        path.write_bytes(b"two")

    (finding,) = verify(root)

    assert finding.file == path.relative_to(root).as_posix()
    assert name in finding.problem
    assert (finding.expected, finding.record) == (stored.sha256, 6)
    assert verify(root, name) == [finding]


def test_an_artifact_that_nobody_recorded_is_checked_too(root):
    """What a killed writer had stored and not yet recorded is no finding, unless it was changed."""
    stored = store.put_bytes(root, b"orphan")
    assert verify(root) == []
    path = store.locate(root, stored.sha256)
    path.chmod(0o644)
    path.write_bytes(b"other")

    assert [each.expected for each in verify(root)] == [stored.sha256]


def forged(root: Path, sql: str) -> None:
    """Change the published database so that neither size nor time of the file tell."""
    path = root / "ledger.duckdb"
    before = path.stat()
    path.chmod(0o644)
    with duckdb.connect(f"duckdb:{path}") as stranger:
        stranger.execute(sql)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("sql", "file", "problem"),
    [
        ("UPDATE measurements SET value = 0.1 WHERE value = 12.5", "ledger.duckdb", "measurements"),
        ("DELETE FROM measurements", "ledger.duckdb", "measurements"),
        ("INSERT INTO seals SELECT * FROM seals", "ledger.duckdb", "seals"),
        (
            "INSERT INTO measurements SELECT * REPLACE (999 AS seq) FROM measurements",
            "ledger.duckdb",
            "measurements",
        ),
        (
            "INSERT INTO claims (execution_id, seq) VALUES ('invented', 0)",
            "segments/invented.jsonl",
            "missing",
        ),
        (
            "CREATE OR REPLACE VIEW denominator AS SELECT 1 AS num_runs",
            "ledger.duckdb",
            "view denominator",
        ),
    ],
    ids=["edited", "removed", "repeated", "added", "invented", "view"],
)
def test_a_changed_database_is_found(root, sql, file, problem):
    """Rows and definitions that the segments do not give are named; rebuilding cures them."""
    forged(root, sql)

    findings = verify(root)

    assert findings
    assert {each.file for each in findings} == {file}
    assert all(problem in each.problem for each in findings)
    rebuild(root)
    assert verify(root) == []


def test_a_changed_row_is_shown(root):
    """The finding about a row shows what the segment says and what the table says."""
    forged(root, "UPDATE measurements SET value = 0.125")

    findings = verify(root, first(root))

    assert [each.record for each in findings] == [9]
    assert "12.5" in findings[0].expected
    assert "0.125" in findings[0].found


def test_a_database_that_cannot_be_read_is_a_finding(root):
    """Where the database is no database, the segments are verified all the same."""
    path = root / "ledger.duckdb"
    path.chmod(0o644)
    path.write_bytes(b"garbage" * 1000)

    assert [each.file for each in verify(root)] == ["ledger.duckdb"]


def test_a_database_behind_the_segments_is_no_finding(root):
    """Records that were not folded yet are not missed, nor those of a running execution."""
    execute(root, "three")
    execution = segment.begin(root, start("four"))
    execution.append(artifact(root, b"four"))

    assert verify(root) == []


def test_a_torn_tail_is_no_finding(root):
    """What a killed writer left is no damage."""
    execution = segment.begin(root, start("three"))
    path = path_of(root, execution.execution_id)
    path.write_bytes(path.read_bytes() + b'{"seq":1,"time"')

    assert verify(root) == []


def test_a_run_id_is_held_to_its_spec(root):
    """An execution that claims another run's id is found."""
    with segment.begin(root, evolve(start("three"), run_id="0" * 32)):
        pass

    (finding,) = verify(root)

    assert finding.problem == "the run's id is not the digest of its spec"


def test_a_finding_is_one_line(root):
    """A finding reads as one line: where, what, expected, found."""
    name = first(root)
    path_of(root, name).unlink()

    (finding,) = verify(root)

    assert str(finding) == (
        f"segments/{name}.jsonl: the segment is missing: expected 12 records, found no file"
    )


def test_every_changed_byte_of_a_segment_is_found(tmp_path):
    """Whichever byte of a folded segment changes, something is found."""
    with segment.begin(tmp_path, start()) as execution:
        execution.append(Decision(topic="one"))
    fold(tmp_path)
    path = path_of(tmp_path, execution.execution_id)
    whole = path.read_bytes()

    for place in itertools.chain(range(0, len(whole), 97), [len(whole) - 1]):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])

        assert verify(tmp_path), place


def test_the_empty_id_is_an_error(root):
    """Every id begins with nothing, so nothing names no run."""
    with pytest.raises(LedgerError, match="an empty id"):
        verify(root, "")


@pytest.mark.parametrize("role", ["samples", "features", "influence", "reference"])
def test_what_a_measurement_rests_on_is_checked(tmp_path, role):
    """Every file that a number names is verified, also where no artifact names it."""
    named: Any = {
        each: digest.sha256(each.encode()) for each in ("features", "influence", "reference")
    }
    for each in ("images", "features", "influence", "reference"):
        store.put_bytes(tmp_path, each.encode())
    with segment.begin(tmp_path, start()) as execution:
        execution.append(measurement(**named))
    assert verify(tmp_path) == []
    sha256 = named.get(role, digest.sha256(b"images"))
    store.locate(tmp_path, sha256).unlink()

    assert [(each.expected, each.record) for each in verify(tmp_path)] == [(sha256, 1)]


def middle(root: Path, earlier: str) -> str:
    """An execution that reused the training of an earlier one, and measured it; its id."""
    with segment.begin(root, start("two")) as execution:
        execution.append(evolve(event(TRAIN, "reused"), facts={"execution_id": earlier}))
        execution.append(measurement())
        execution.append(event(EVALUATE, "done"))
    return execution.execution_id


def test_what_was_reused_is_verified(tmp_path):
    """Verifying an execution follows what it reused, and what that had reused, to its files."""
    earlier = execute(tmp_path, "one")
    later = reuse(tmp_path, middle(tmp_path, earlier), "three", plan=PLAN[1:])
    assert verify(tmp_path, later) == []
    weights = digest.sha256(b"one")
    store.locate(tmp_path, weights).unlink()
    (of_files,) = verify(tmp_path, later)
    path = path_of(tmp_path, earlier)
    path.write_bytes(b"".join(edited(lines_of(tmp_path, earlier))))
    (of_chain,) = verify(tmp_path, later)
    path.unlink()
    (of_segment,) = verify(tmp_path, later)

    assert of_files.expected == weights
    assert of_chain.file == of_segment.file == f"segments/{earlier}.jsonl"
    assert of_segment.problem == "the segment is missing"


def test_what_was_not_reused_is_left_out(tmp_path):
    """Files of other stages of an execution that something was reused from do not matter."""
    with segment.begin(tmp_path, start("one")) as execution:
        execution.append(event(TRAIN, "done"))
        execution.append(artifact(tmp_path, b"sheet", stage_id=EVALUATE))
    later = reuse(tmp_path, execution.execution_id, "two", plan=PLAN[:1])
    store.locate(tmp_path, digest.sha256(b"sheet")).unlink()

    assert verify(tmp_path, later) == []
    assert len(verify(tmp_path)) == 1


def removed(root: Path, content: bytes) -> str:
    """Remove an artifact on purpose; the execution that did."""
    stored = store.locate(root, digest.sha256(content))
    with segment.begin(root, Start(purpose="gc")) as execution:
        size_bytes = stored.stat().st_size
        sha256 = digest.sha256(content)
        named_by = {"executions": [path.stem for path in history.segment_paths(root)]}
        execution.append(
            Tombstone(sha256=sha256, size_bytes=size_bytes, reason="a test", facts=named_by)
        )
        stored.unlink()
    return execution.execution_id


def test_what_was_removed_on_purpose_is_counted(root):
    """A tombstone stands in for a file, for the ledger and for every execution that names it."""
    removed(root, b"one")

    of_all, of_one = examine(root), examine(root, first(root))

    assert of_all.findings == of_one.findings == ()
    assert (of_all.num_artifacts, of_all.num_removed) == (2, 1)
    assert (of_one.num_artifacts, of_one.num_removed) == (1, 1)


def test_a_tombstone_stands_for_one_artifact(root):
    """What is gone without one is missed."""
    removed(root, b"one")
    store.locate(root, digest.sha256(b"two")).unlink()

    assert [each.expected for each in verify(root)] == [digest.sha256(b"two")]


def test_what_was_made_anew_is_checked(root):
    """A tombstone says nothing of a file that is there again."""
    removed(root, b"one")
    store.put_bytes(root, b"one")
    path = store.locate(root, digest.sha256(b"one"))
    path.chmod(0o644)
    path.write_bytes(b"onE")

    assert [each.expected for each in verify(root, first(root))] == [digest.sha256(b"one")]


def test_a_tombstone_after_a_break_does_not_count(root):
    """A record that does not follow excuses nothing; the break is named too."""
    name = removed(root, b"one")
    edited = b"".join(lines_of(root, name)).replace(b"a test", b"atest!")
    path_of(root, name).write_bytes(edited)

    findings = verify(root, first(root))

    assert [each.expected for each in findings][-1] == digest.sha256(b"one")
    assert f"segments/{name}.jsonl" in [each.file for each in findings]


def test_what_was_read_is_counted(root):
    """Executions, records and artifacts; of one execution, what it rests on as well."""
    later = reuse(root, first(root), "three")

    of_all, of_one = examine(root), examine(root, later)

    assert (of_all.num_records, of_all.num_artifacts) == (12 + 12 + 4, 3)
    assert of_one.executions == (first(root), later)
    assert (of_one.num_records, of_one.num_artifacts) == (12 + 4, 2)


@pytest.mark.parametrize("kind", ["segments", "objects"])
def test_what_cannot_be_read_is_named(root, monkeypatch, kind):
    """A file that the disk does not give back is a finding, and does not hide the others."""
    paths = sorted(path for path in (root / kind).rglob("*") if path.is_file())
    real = Path.open

    def broken(path, *arguments, **more):
        if path == paths[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", broken)

    (finding,) = verify(root)

    assert finding.file == paths[0].relative_to(root).as_posix()
    assert os.strerror(errno.EIO) in finding.found


def test_a_collection_beside_a_verification_is_no_finding(root, monkeypatch):
    """What is removed on purpose while everything is read has its tombstone by then."""
    real = digest.sha256_file

    def slow(path):
        monkeypatch.undo()
        removed(root, b"one")
        removed(root, b"two")
        return real(path)

    monkeypatch.setattr(digest, "sha256_file", slow)

    verified = examine(root)

    assert (verified.findings, verified.num_removed) == ((), 2)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_several_processes_find_what_one_finds(tmp_path, monkeypatch, start):
    """Shares of the segments, each beside the database, are the whole."""
    first, *names = [execute(tmp_path, name) for name in ("one", "two", "three", "four")]
    fold(tmp_path)
    path_of(tmp_path, first).unlink()
    edited = path_of(tmp_path, names[0])
    edited.write_bytes(edited.read_bytes().replace(b'"rate"', b'"rata"', 1))
    forged(tmp_path, f"UPDATE measurements SET value = 1 WHERE execution_id = '{names[1]}'")
    alone = examine(tmp_path)

    monkeypatch.setattr(reading, "SHARE_BYTES", 1)
    monkeypatch.setattr(reading, "_start", lambda: start)
    together = examine(tmp_path, num_processes=2)

    assert len(alone.findings) == 3
    assert sorted(together.findings, key=str) == sorted(alone.findings, key=str)
    assert together.num_records == alone.num_records


@pytest.mark.parametrize("part_rows", [1, 5])
def test_large_tables_are_compared_in_parts(tmp_path, monkeypatch, part_rows):
    """Whatever part a row is in, that it differs, is gone or too many is found."""
    names = [execute(tmp_path, name) for name in ("one", "two", "three")]
    fold(tmp_path)
    monkeypatch.setattr(comparison, "_PART_ROWS", part_rows)
    whole = verify(tmp_path)
    forged(tmp_path, f"UPDATE progress SET value = 9 WHERE execution_id = '{names[0]}'")
    forged(tmp_path, f"DELETE FROM progress WHERE execution_id = '{names[1]}' AND step = 2")
    forged(tmp_path, f"INSERT INTO progress FROM progress WHERE execution_id = '{names[2]}'")

    found = [(each.file, each.problem.split(";")[0]) for each in verify(tmp_path)]

    assert whole == []
    assert found == [
        ("ledger.duckdb", f"table progress differs from segment {name}") for name in names
    ]


def test_no_process_is_forked_where_another_thread_runs():
    """It might hold a lock at that moment, for which the copy would wait for ever."""
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()

    start = reading._start()
    over.set()
    other.join()

    assert start == "spawn"


def die(*_args):
    """What a process does that the system kills, for want of memory."""
    os._exit(9)


def test_what_a_killed_process_was_to_read_is_read(tmp_path, monkeypatch):
    """A verification that needs more memory than there is takes longer."""
    names = [execute(tmp_path, name) for name in ("one", "two")]
    fold(tmp_path)
    forged(tmp_path, f"UPDATE measurements SET value = 1 WHERE execution_id = '{names[1]}'")
    monkeypatch.setattr(reading, "SHARE_BYTES", 1)
    monkeypatch.setattr(reading, "_read_share", die)

    examined = examine(tmp_path, num_processes=2)

    assert len(examined.findings) == 1
    assert examined.num_records == examine(tmp_path).num_records


def test_a_program_verifies_in_its_own_process(tmp_path, monkeypatch):
    """More than one would import the program again, and most are not made for that."""
    execute(tmp_path, "one")
    execute(tmp_path, "two")
    monkeypatch.setattr(reading, "SHARE_BYTES", 1)
    monkeypatch.setattr(
        reading, "ProcessPoolExecutor", lambda *_args, **_options: pytest.fail("more")
    )

    assert verify(tmp_path) == []
