"""From segments to tables."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.errors import LedgerError
from repro.ledger import connection, history, query, schema, segment
from repro.ledger.chain import parse, render
from repro.ledger.fold import Folded, Inserter, fold, rebuild
from repro.ledger.lease import lease
from repro.ledger.records import FORMAT, Decision
from tests.ledger.ledgers import execute, path_of, start

TABLES = [*schema.TABLES.values(), "segments"]


def content(root: Path) -> dict[str, list[Any]]:
    """Every row of every table, as read from the published file alone."""
    with connection.connect(connection.published_path(root), read_only=True) as database:
        return {
            table: sorted(map(str, database.execute(f"FROM {table}").fetchall()))
            for table in TABLES
        }


def test_each_kind_has_its_table(tmp_path):
    """Each record becomes a row of its kind's table, each number of progress a row of its own."""
    execution_id = execute(tmp_path)

    assert fold(tmp_path) == Folded(num_records=12, problems=())
    rows = query(tmp_path, "SELECT step, name, value FROM progress ORDER BY ALL").rows
    assert rows[:2] == ((1, "loss", 1.0), (1, "rate", 0.1))
    assert len(rows) == 6
    assert query(tmp_path, "SELECT execution_id, value FROM results").rows == (
        (execution_id, 12.5),
    )


def test_folding_again_adds_nothing(tmp_path):
    """A record is folded once."""
    execute(tmp_path)
    fold(tmp_path)
    before = content(tmp_path)

    assert fold(tmp_path) == Folded(num_records=0, problems=())
    assert content(tmp_path) == before


def test_a_fold_reads_only_what_is_new(tmp_path):
    """An open segment is followed as it grows."""
    with segment.begin(tmp_path, start()) as execution:
        first = fold(tmp_path)
        execution.append(Decision(topic="selection"))
        second = fold(tmp_path)
    third = fold(tmp_path)

    assert [each and each.num_records for each in (first, second, third)] == [1, 1, 1]


def test_many_folds_give_what_one_gives(tmp_path):
    """A database that grew step by step equals one that is rebuilt."""
    for name in ("one", "two"):
        with segment.begin(tmp_path, start(name)) as execution:
            fold(tmp_path)
            execution.append(Decision(topic="selection"))
        fold(tmp_path)
    grown = content(tmp_path)

    rebuild(tmp_path)

    assert content(tmp_path) == grown


def write(path: Path, kind: str, *data: bytes, format_: int = 2) -> None:
    """Add lines to a segment that holds a start, as a writer of a format would have."""
    first = path.read_bytes()[:-1].replace(b'"format":2', b'"format":%d' % format_)
    head = first[: first.index(b',"hash"')]
    lines = [b'%s,"hash":"%s"}' % (head, hashlib.sha256(head).hexdigest().encode())]
    for number, each in enumerate(data, 1):
        previous = parse(lines[-1], record=number - 1).hash
        lines.append(
            render(seq=number, time=datetime.now(UTC), kind=kind, data=each, prev=previous)
        )
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def test_a_fold_that_was_overtaken_publishes_nothing(tmp_path, monkeypatch):
    """Who slept while it copied may have copied what another was writing; no two write one file."""
    execute(tmp_path, "one")
    fold(tmp_path)
    execute(tmp_path, "two")
    before, parts, copy = content(tmp_path), list[Path](), shutil.copyfile

    def slept(source, target):
        parts.append(Path(target))
        (highest,) = sorted((tmp_path / "leases" / "fold").iterdir())[-1:]
        highest.with_name(str(int(highest.name) + 1)).touch()
        os.utime(highest.with_name(str(int(highest.name) + 1)), (0, 0))
        return copy(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfile", slept)
        for _ in range(2):
            with pytest.raises(LedgerError, match="took the fold over; try again"):
                fold(tmp_path)

    assert content(tmp_path) == before
    assert parts[0] != parts[1]
    assert not any(each.exists() for each in parts)
    assert query(tmp_path, "SELECT count(*) FROM starts").rows == ((2,),)


@pytest.mark.parametrize("name", [".index.duckdb", "ledger.duckdb"])
def test_a_lost_database_is_made_again(tmp_path, name):
    """Deleting a database file loses nothing."""
    execute(tmp_path)
    fold(tmp_path)
    before = content(tmp_path)
    (tmp_path / name).unlink()

    fold(tmp_path)

    assert content(tmp_path) == before


@pytest.mark.parametrize("damage", [b"", b"garbage" * 3000])
@pytest.mark.parametrize("name", [".index.duckdb", "ledger.duckdb"])
def test_a_damaged_database_is_made_again(tmp_path, name, damage):
    """A file that DuckDB cannot open is replaced by whoever asks next."""
    execute(tmp_path)
    fold(tmp_path)
    (tmp_path / name).chmod(0o644)
    (tmp_path / name).write_bytes(damage)

    assert query(tmp_path, "SELECT count(*) FROM measurements").rows == ((1,),)
    execute(tmp_path)
    assert query(tmp_path, "SELECT count(*) FROM measurements").rows == ((2,),)


def test_a_lost_commit_heals(tmp_path):
    """An index that went back to an earlier state is brought up to date, each record once."""
    execute(tmp_path, "one")
    fold(tmp_path)
    shutil.copy(tmp_path / ".index.duckdb", tmp_path / "earlier")
    execute(tmp_path, "two")
    fold(tmp_path)
    before = content(tmp_path)
    shutil.copy(tmp_path / "earlier", tmp_path / ".index.duckdb")

    fold(tmp_path)

    assert content(tmp_path) == before


def test_a_broken_segment_does_not_keep_the_others_out(tmp_path):
    """A segment is folded up to its break, which is reported, and the others are whole."""
    broken, whole = execute(tmp_path, "one"), execute(tmp_path, "two")
    path = path_of(tmp_path, broken)
    path.write_bytes(path.read_bytes().replace(b'"steps":[2]', b'"steps":[9]'))

    folded = fold(tmp_path)

    assert folded is not None
    (problem,) = folded.problems
    assert broken in problem
    counts = dict(query(tmp_path, "SELECT execution_id, num_records FROM segments").rows)
    assert counts == {broken: 3, whole: 12}


@pytest.mark.parametrize("what", ["cut", "removed"])
def test_a_segment_that_lost_records_is_reported(tmp_path, what):
    """What was folded once is missed when it is gone."""
    path = path_of(tmp_path, execute(tmp_path))
    fold(tmp_path)
    if what == "cut":
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    else:
        path.unlink()

    folded = fold(tmp_path)

    assert folded is not None
    assert path.stem in folded.problems[0]


def test_a_value_that_does_not_fit_is_null(tmp_path):
    """One impossible value does not stop the fold; everything else of its record is there."""
    execution = segment.begin(tmp_path, start())
    data = b'{"stage_id":"s","step":"many","weights":["w"]}'
    write(path_of(tmp_path, execution.execution_id), "checkpoint", data)

    fold(tmp_path)

    assert query(tmp_path, "SELECT stage_id, step, state FROM checkpoints").rows == (
        ("s", None, None),
    )


def test_progress_of_format_1_is_folded(tmp_path):
    """A record of one moment, as segments were first written, has the rows that it always had."""
    execution = segment.begin(tmp_path, start())
    moments = [
        b'{"stage_id":"s","step":1,"values":{"loss":"nan","rate":0.1}}',
        b'{"stage_id":"s","step":2,"values":{"step":[5],"steps":2.0}}',
    ]
    write(path_of(tmp_path, execution.execution_id), "progress", *moments, format_=1)
    execution = segment.begin(tmp_path, start())
    execution.log("s", 3, {"loss": 0.5, "step": 4.0})
    execution.seal("done")

    assert query(tmp_path, "SELECT step, name, value::VARCHAR FROM progress ORDER BY ALL").rows == (
        (1, "loss", "nan"),
        (1, "rate", "0.1"),
        (2, "step", None),
        (2, "steps", "2.0"),
        (3, "loss", "0.5"),
        (3, "step", "4.0"),
    )


def test_strange_text_survives(tmp_path):
    """Quotes, newlines, tabs and other scripts come out as they went in."""
    text = "a'b\"c\nd\te\\f \u2028 Größe 数 😀 \x00 end"
    with segment.begin(tmp_path, start()) as execution:
        execution.append(Decision(topic=text))

    assert query(tmp_path, "SELECT topic FROM decisions").rows == ((text,),)


def test_bytes_that_are_no_text_do_not_stop_a_fold(tmp_path):
    """A file name in another encoding becomes escapes, and everything stays readable."""
    with segment.begin(tmp_path, start()) as execution:
        execution.append(Decision(topic=os.fsdecode(b"caf\xe9"), facts={os.fsdecode(b"\xff"): 1}))

    assert query(tmp_path, "SELECT topic, facts FROM decisions").rows == (
        ("caf\\udce9", '{"\\\\udcff":1}'),
    )


def test_a_file_with_a_strange_name_does_not_stop_a_fold(tmp_path):
    """Whatever lies among the segments, the segments are folded."""
    path = path_of(tmp_path, execute(tmp_path))
    (path.parent / 'a"b.jsonl').write_bytes(path.read_bytes())
    (path.parent / "folder.jsonl").mkdir()

    folded = fold(tmp_path)

    assert folded is not None
    assert len(folded.problems) == 1
    assert query(tmp_path, "SELECT count(*) FROM seals").rows == ((1,),)


def test_an_older_schema_is_rebuilt(tmp_path, monkeypatch):
    """A database of an older version is replaced without a question."""
    execute(tmp_path)
    fold(tmp_path)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)

    assert fold(tmp_path) == Folded(num_records=12, problems=())


def test_a_newer_schema_is_refused(tmp_path, monkeypatch):
    """A database of a newer version is neither read nor replaced."""
    execute(tmp_path)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    fold(tmp_path)
    monkeypatch.undo()

    newer, known = schema.VERSION + 1, schema.VERSION
    with pytest.raises(LedgerError, match=f"schema version {newer}, this package knows {known}"):
        fold(tmp_path)
    newer, known = schema.VERSION + 1, schema.VERSION
    with pytest.raises(LedgerError, match=f"schema version {newer}, this package knows {known}"):
        query(tmp_path, "SELECT 1")


def test_a_migrated_ledger_answers_as_before(tmp_path, monkeypatch):
    """A newer version makes both files of an older one anew, for a reader too, with equal rows."""
    execute(tmp_path)
    fold(tmp_path)
    before = content(tmp_path)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)

    table = query(tmp_path, "SELECT version FROM schema_version")

    assert (table.rows, table.warnings) == (((schema.VERSION,),), ())
    assert content(tmp_path) == before


def test_a_segment_that_cannot_be_read_does_not_keep_the_others_out(tmp_path, monkeypatch):
    """What is another user's, say, is told; it is folded when it can be read."""
    theirs, _ = path_of(tmp_path, execute(tmp_path, "theirs")), execute(tmp_path, "ours")
    open_, open_descriptor = Path.open, os.open

    def refusing(path, *args, **options):
        if path == theirs:
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_(path, *args, **options)

    def refusing_descriptor(path, *args, **options):
        if str(path) == str(theirs):
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_descriptor(path, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refusing)
        patched.setattr(os, "open", refusing_descriptor)
        folded = fold(tmp_path)

    assert folded
    assert folded.problems == (f"{theirs}: cannot be read: Permission denied",)
    assert fold(tmp_path) == Folded(num_records=12, problems=())


def test_a_fold_holds_no_long_segment_whole(tmp_path, monkeypatch):
    """Its memory does not grow with what it reads: many small insertions give the same rows."""
    execution_id = execute(tmp_path)
    fold(tmp_path)
    before = content(tmp_path)
    inserted = list[str]()
    insert = Inserter._insert

    def watched(inserter: Inserter, kind: str) -> None:
        inserted.append(kind)
        insert(inserter, kind)

    monkeypatch.setattr("repro.ledger.fold._BATCH_BYTES", 300)
    monkeypatch.setattr(Inserter, "_insert", watched)

    rebuild(tmp_path)

    assert inserted.count("progress") > 1
    assert content(tmp_path) == before
    assert path_of(tmp_path, execution_id).stat().st_size > 2000


def test_a_segment_of_a_newer_format_is_told(tmp_path):
    """What this version would misunderstand is not folded, and the others are."""
    execution = segment.begin(tmp_path, start())
    path = path_of(tmp_path, execution.execution_id)
    write(path, "decision", b'{"topic":"x"}', format_=FORMAT + 1)
    execute(tmp_path)

    folded = fold(tmp_path)

    assert folded is not None
    (problem,) = folded.problems
    assert f"its format is another: expected {FORMAT}, found {FORMAT + 1}" in problem
    assert query(tmp_path, "SELECT count(*) FROM starts").rows == ((1,),)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A ledger of three executions, folded at once, which no test changes."""
    root: Path = tmp_path_factory.mktemp("whole")
    for name in ("one", "two", "three"):
        execute(root, name)
    fold(root)
    return root


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6000)), max_size=4))
def test_rows_do_not_depend_on_the_order_of_arrival(whole, arrivals):
    """However the bytes of the segments come in, and however often they are folded meanwhile."""
    waiting = {path.name: path.read_bytes() for path in history.segment_paths(whole)}
    with TemporaryDirectory() as folder:
        (Path(folder) / "segments").mkdir()
        for number, size in [*arrivals, (0, 1 << 20), (1, 1 << 20), (2, 1 << 20)]:
            name = sorted(waiting)[number]
            with (Path(folder) / "segments" / name).open("ab") as file:
                file.write(waiting[name][:size])
            waiting[name] = waiting[name][size:]
            if size < 1 << 20:
                fold(Path(folder))
        fold(Path(folder))

        assert content(Path(folder)) == content(whole)


def test_no_ledger_is_an_error(tmp_path):
    """Where nothing was ever recorded there is nothing to fold."""
    with pytest.raises(LedgerError, match="no ledger here"):
        fold(tmp_path / "none")


def test_one_fold_at_a_time(tmp_path):
    """Whoever finds another at it gives up in time and says so."""
    execute(tmp_path)

    with lease(tmp_path, "fold"):
        assert fold(tmp_path, wait_s=0.05) is None


def test_folds_in_threads_do_not_meet(tmp_path):
    """Threads of one process fold and ask at once, and all answers are right."""
    execute(tmp_path)
    answers = []

    def ask() -> None:
        fold(tmp_path)
        answers.append(query(tmp_path, "SELECT count(*) FROM seals").rows)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [((1,),)] * 6


FOLDER = """
import sys
from pathlib import Path
from repro.ledger.chain import parse, render
from repro.ledger.fold import fold
print("ready", flush=True)
while True:
    fold(Path(sys.argv[1]))
"""


def test_killed_folds_do_no_harm(tmp_path):
    """Folds that are killed at random moments, two at a time, leave an exact database."""
    for turn in range(6):
        processes = [
            subprocess.Popen([sys.executable, "-c", FOLDER, tmp_path], stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        for number in range(3):
            execute(tmp_path, f"{turn}-{number}")
            time.sleep(0.05 + 0.04 * turn)
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.communicate()

    fold(tmp_path)
    before = content(tmp_path)
    rebuild(tmp_path)

    assert content(tmp_path) == before
    assert len(history.executions(tmp_path)) == 18
