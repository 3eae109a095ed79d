"""SQL that only reads."""

import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from repro.errors import LedgerError, QueryError
from repro.ledger import export_parquet, query, segment
from repro.ledger.fold import fold
from repro.ledger.lease import lease
from repro.ledger.records import Decision
from tests.ledger.ledgers import execute, path_of, start


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A ledger with two executions, which no test changes."""
    path: Path = tmp_path_factory.mktemp("ledger")
    execute(path, "one", value=12.5)
    execute(path, "two", value=10.25)
    return path


def test_an_answer_has_columns_types_and_rows(root):
    """An answer says what its columns are."""
    table = query(root, "SELECT title, value FROM results ORDER BY value")

    assert table.columns == ("title", "value")
    assert table.types == ("VARCHAR", "DOUBLE")
    assert table.rows == (("two", 10.25), ("one", 12.5))
    assert table.warnings == ()


def test_rows_are_plain_data(root):
    """Whatever the type, a cell can be written as JSON; times are UTC."""
    sql = """
        SELECT TIMESTAMP '2026-01-31 12:00:00', 1.5::DECIMAL(4, 2), [1, 2], {'a': 1},
            DATE '2026-01-31', NULL, true, 'x'::BLOB, sum(1)
    """

    (row,) = query(root, sql).rows

    assert row[:7] == ("2026-01-31T12:00:00Z", "1.50", [1, 2], {"a": 1}, "2026-01-31", None, True)
    assert all(type(cell) in (str, float, int, bool, list, dict, type(None)) for cell in row)


def test_decimals_are_exact(root):
    """A decimal with more digits than a float has comes back whole."""
    table = query(root, "SELECT 0.12345678901234567890::DECIMAL(38, 20) AS x")

    assert (table.types, table.rows) == (("DECIMAL(38,20)",), (("0.12345678901234567890",),))


def test_columns_have_names_of_their_own(root):
    """Two columns of one name would lose one as JSON, so they are refused."""
    with pytest.raises(QueryError, match=r"more than one column is named 'x'; name one with AS"):
        query(root, "SELECT 1 AS x, 2 AS x, 3 AS y")


@pytest.mark.parametrize("parameters", [["two"], {"title": "two"}], ids=["place", "name"])
def test_parameters_are_bound(root, parameters):
    """Values come in as parameters, by place or by name."""
    mark = "$1" if isinstance(parameters, list) else "$title"

    table = query(root, f"SELECT value FROM results WHERE title = {mark}", parameters)

    assert table.rows == ((10.25,),)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
        "FROM results",
        "DESCRIBE results",
        "SHOW TABLES",
        "SUMMARIZE results",
        "EXPLAIN SELECT 1",
        "SELECT 1;",
        "VALUES (1)",
        "SELECT count(*) FROM executions WHERE started_at < now() + INTERVAL 1 DAY",
    ],
)
def test_reading_is_allowed(root, sql):
    """Every kind of statement that only reads has an answer."""
    assert query(root, sql).rows


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1; SELECT 2",
        "INSERT INTO measurements SELECT * FROM measurements",
        "WITH a AS (SELECT 1) DELETE FROM measurements",
        "UPDATE measurements SET value = 1",
        "DROP TABLE measurements",
        "CREATE TABLE t (x INT)",
        "CREATE TEMP TABLE t (x INT)",
        "ALTER TABLE measurements ADD COLUMN x INT",
        "ATTACH 'other.duckdb'",
        "COPY measurements TO 'stolen.csv'",
        "EXPORT DATABASE 'stolen'",
        "PRAGMA database_list",
        "SET threads = 1",
        "CALL pragma_version()",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CHECKPOINT",
        "BEGIN",
        "PREPARE p AS SELECT 1",
    ],
)
def test_anything_else_is_refused(root, sql):
    """A statement that does not read is refused before it runs."""
    with pytest.raises(QueryError, match="expected one SELECT"):
        query(root, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/passwd.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_json('https://example.org/x.json')",
        "SELECT * FROM query('COPY measurements TO ''stolen.csv''')",
        "EXPLAIN ANALYZE COPY measurements TO 'stolen.csv'",
        "EXPLAIN ANALYZE INSERT INTO measurements SELECT * FROM measurements",
        "SELECT * FROM root",
        "SELECT nothing FROM results",
        "SELEKT 1",
        "SELECT $missing",
        "SELECT now()",
    ],
)
def test_a_query_reaches_nothing_else(root, sql):
    """No file, no address, no Python variable, no writing in disguise; mistakes are explained."""
    with pytest.raises(QueryError, match="sql: "):
        query(root, sql)
    assert not Path("stolen.csv").exists()


def test_a_query_folds_first(tmp_path):
    """An answer holds what was recorded just before."""
    with segment.begin(tmp_path, start()) as execution:
        for number in range(1, 4):
            execution.append(Decision(topic="selection"))
            assert query(tmp_path, "SELECT count(*) FROM decisions").rows == ((number,),)


@pytest.mark.parametrize("left", [b"", b'{"seq":0,"ti'])
def test_what_a_killed_writer_left_is_folded_once(tmp_path, monkeypatch, left):
    """A line that will never be whole does not make every question fold again."""
    torn = segment.begin(tmp_path, start())
    with path_of(tmp_path, torn.execution_id).open("ab") as file:
        file.write(b'{"seq":1,"ti')
    (tmp_path / "segments" / "20260101T000000000000-00000000.jsonl").write_bytes(left)
    sql = "SELECT count(*) FROM starts"
    first = query(tmp_path, sql)
    monkeypatch.setattr("repro.ledger.fold.fold", lambda *_args, **_options: pytest.fail("folds"))

    assert query(tmp_path, sql) == first
    assert first.rows == ((1,),)


def test_a_reader_does_not_wait_for_a_fold(tmp_path, monkeypatch):
    """While another process folds, the last published state is the answer, and says so."""
    execute(tmp_path, "one")
    fold(tmp_path)
    execute(tmp_path, "two")
    monkeypatch.setattr("repro.ledger.database.READER_WAIT_S", 0.05)

    with lease(tmp_path, "fold"):
        table = query(tmp_path, "SELECT title FROM executions")

    assert table.rows == (("one",),)
    assert "another process is folding" in table.warnings[0]


def test_an_archive_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    """Where folding is impossible, the last published state is the answer, and says why."""
    execute(tmp_path, "one")
    fold(tmp_path)
    execute(tmp_path, "two")

    def refused(*_: object, **__: object) -> None:
        raise LedgerError("read-only file system")

    monkeypatch.setattr("repro.ledger.fold.fold", refused)
    table = query(tmp_path, "SELECT title FROM executions")

    assert table.rows == (("one",),)
    assert "read-only file system" in table.warnings[0]


def test_an_open_notebook_blocks_nobody(tmp_path):
    """A connection that stays open keeps its state; new answers are new."""
    execute(tmp_path, "one")
    fold(tmp_path)

    with duckdb.connect(f"duckdb:{tmp_path}/ledger.duckdb", read_only=True) as notebook:
        execute(tmp_path, "two")
        ours = query(tmp_path, "SELECT count(*) FROM results").rows
        theirs = notebook.execute("SELECT count(*) FROM results").fetchall()

    assert (ours, theirs) == (((2,),), [(1,)])


def test_a_strangers_changes_do_not_last(tmp_path):
    """What somebody writes into the published file is gone with the next question."""
    execute(tmp_path)
    fold(tmp_path)
    path = tmp_path / "ledger.duckdb"
    path.chmod(0o644)
    with duckdb.connect(f"duckdb:{path}") as stranger:
        stranger.execute("UPDATE measurements SET value = 0.1")

    assert query(tmp_path, "SELECT value FROM results").rows == ((12.5,),)


def test_a_strangers_lock_is_stepped_around(tmp_path):
    """Somebody who holds the published file open for writing does not keep readers out."""
    execute(tmp_path)
    fold(tmp_path)
    path = tmp_path / "ledger.duckdb"
    path.chmod(0o644)

    code = (
        "import duckdb, sys; stranger = duckdb.connect(sys.argv[1]);"
        "stranger.execute('UPDATE measurements SET value = 0.1'); print(flush=True); input();"
        "stranger.execute('UPDATE measurements SET value = 0.2'); print(flush=True); input()"
    )
    stranger = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert stranger.stdin
    assert stranger.stdout

    for _ in range(2):
        stranger.stdout.readline()
        assert query(tmp_path, "SELECT value FROM results").rows == ((12.5,),)
        stranger.stdin.write(b"\n")
        stranger.stdin.flush()
    stranger.communicate()

    assert query(tmp_path, "SELECT value FROM results").rows == ((12.5,),)


def test_anything_that_opens_duckdb_sees_the_same(root):
    """A plain connection to the published file shows the same tables and views, and they work."""
    ours = query(root, "SHOW TABLES").rows
    assert stat.S_IMODE((root / "ledger.duckdb").stat().st_mode) == 0o644
    with duckdb.connect(f"{root}/ledger.duckdb") as plain:
        theirs = plain.execute("SHOW TABLES").fetchall()
        assert plain.execute("SELECT count(*) FROM results").fetchall() == [(2,)]

    assert sorted(theirs) == sorted(ours)


def test_no_ledger_is_an_error(tmp_path):
    """Where nothing was recorded, a question says so and creates nothing."""
    with pytest.raises(LedgerError, match="no ledger here"):
        query(tmp_path / "none", "SELECT 1")

    assert list(tmp_path.iterdir()) == []


def test_a_path_with_quotes_and_spaces(tmp_path):
    """A ledger may lie in a folder with any name."""
    root = tmp_path / 'it\'s; a "ledger" #2'
    execute(root)

    assert query(root, "SELECT value FROM results").rows == ((12.5,),)


def test_parquet_holds_the_answer(root, tmp_path):
    """An exported file holds the rows, and nothing else is left beside it."""
    path = tmp_path / "the results.parquet"

    count = export_parquet(root, "SELECT title, value FROM results ORDER BY value; ", path)

    with duckdb.connect() as reader:
        rows = reader.execute("FROM read_parquet($1)", [str(path)]).fetchall()
    assert (count, rows) == (2, [("two", 10.25), ("one", 12.5)])
    assert list(tmp_path.iterdir()) == [path]


def test_parquet_that_cannot_be_written(root, tmp_path):
    """A file in the place of the folder is an error of one line, as any other."""
    (tmp_path / "file").touch()

    with pytest.raises(QueryError, match="sql: "):
        export_parquet(root, "SELECT 1 AS one", tmp_path / "file" / "one.parquet")


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1) TO 'stolen.csv' --", "DROP TABLE seals", "FROM read_text('/etc/hostname')"],
)
def test_an_export_reads_only(root, tmp_path, sql):
    """An export is a query with a file: the same is refused, and a failed one leaves nothing."""
    with pytest.raises(QueryError, match="sql: "):
        export_parquet(root, sql, tmp_path / "out.parquet")

    assert list(tmp_path.iterdir()) == []


def test_the_ledger_is_light_to_import():
    """Recording and reading segments loads neither DuckDB nor numpy."""
    code = (
        "import sys, repro.ledger, repro.ledger.segment, repro.ledger.provenance;"
        "print({'duckdb', 'numpy', 'torch'} & set(sys.modules))"
    )

    output = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert output.strip() == "set()"
