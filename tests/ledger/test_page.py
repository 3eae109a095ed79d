"""The page and the named queries, held to the database."""

import re
from pathlib import Path

import pytest

from repro.errors import QueryError
from repro.ledger import named_query, query
from tests.ledger.ledgers import execute, reuse

LEDGER = Path(__file__).parents[2] / "ledger"
QUERIES = {path.stem: path.read_text("utf-8") for path in (LEDGER / "queries").glob("*.sql")}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A ledger with one execution."""
    path: Path = tmp_path_factory.mktemp("ledger")
    execute(path)
    return path


def test_the_page_is_the_database(root):
    """The page names every table, view and column with its type, in order, and no other."""
    text = (LEDGER / "README.md").read_text("utf-8")
    page = {
        section.partition("`")[0]: re.findall(r"^\| `(\w+)` \| ([A-Z]+) \|", section, re.MULTILINE)
        for section in re.split(r"^### `", text, flags=re.MULTILINE)[1:]
    }
    sql = """
        SELECT table_name, list((column_name, data_type) ORDER BY ordinal_position)
        FROM information_schema.columns GROUP BY table_name
    """
    database = {name: [tuple(each) for each in found] for name, found in query(root, sql).rows}

    assert page == database


def test_every_column_has_a_meaning():
    """No row of the page is left empty."""
    rows = re.findall(
        r"^\| `\w+` \| [A-Z]+ \|(.*)\|$", (LEDGER / "README.md").read_text("utf-8"), re.M
    )

    assert all(row.rpartition("|")[2].strip() for row in rows)


@pytest.mark.parametrize("name", sorted(each for each in QUERIES if "error(" not in QUERIES[each]))
def test_a_named_query_runs(root, name):
    """Every query says what it is for, and has an answer; those that may refuse have own tests."""
    sql = named_query(LEDGER, name)
    parameters = set(re.findall(r"\$([a-z_]+)", sql.partition("\n")[2]))

    table = query(root, sql, dict.fromkeys(parameters, "2"))

    assert table.columns


def test_the_curve_of_a_run(root):
    """A named query with a parameter gives the curve of the run that it names."""
    rows = query(root, QUERIES["curve"], {"run": "2"}).rows

    assert [row[1:] for row in rows][:3] == [
        ("train", 1, "loss", 1.0),
        ("train", 2, "loss", 0.5),
        ("train", 3, "loss", 1 / 3),
    ]


def test_equal_work_with_different_bytes(tmp_path):
    """Two executions of one stage that left different weights are a finding of `diverged`."""
    execute(tmp_path, "one")
    execute(tmp_path, "two")

    table = query(tmp_path, QUERIES["diverged"])

    assert [row[1:5] for row in table.rows] == [("weights", "weights.bin", 2, 2)]


def test_the_best_of_each_protocol(tmp_path):
    """The smallest FID comes first, with its place."""
    for value in (9.0, 7.0, float("nan"), 8.0, 10.0):
        execute(tmp_path, f"{value}", value=value)

    table = query(tmp_path, QUERIES["best"])

    places = table.columns.index("place"), table.columns.index("value")
    assert [tuple(row[i] for i in places) for row in table.rows] == [(1, 7.0), (2, 8.0), (3, 9.0)]


def test_a_shared_measurement_takes_one_place(tmp_path):
    """The best are of the run that measured them; runs that reused them take no place."""
    earlier = execute(tmp_path, "one")
    reuse(tmp_path, earlier, "two")

    table = query(tmp_path, QUERIES["best"])

    places = table.columns.index("title"), table.columns.index("measured_by")
    assert [tuple(row[i] for i in places) for row in table.rows] == [("one", earlier)]


def test_a_name_stands_for_its_statement():
    """A name gives its statement, and a statement itself."""
    assert named_query(LEDGER, "best") == QUERIES["best"]
    assert named_query(LEDGER, "SELECT 1") == "SELECT 1"


def test_an_unknown_name_is_told_the_others():
    """The answer to an unknown word lists every query with what it is for."""
    with pytest.raises(QueryError, match="no query is named 'bset'") as refused:
        named_query(LEDGER, "bset")

    listed = [line.partition(":")[0].strip() for line in refused.value.problems[1:]]
    assert listed == sorted(QUERIES)
    assert "  disk: Disk use of artifacts" in str(refused.value)


def test_the_ledgers_own_queries_come_first(tmp_path, monkeypatch):
    """A query is looked up in the ledger, then in the project of the working folder."""
    for folder, names in (("elsewhere", "a"), ("ledger", "ab")):
        (tmp_path / folder / "queries").mkdir(parents=True)
        for name in names:
            path = tmp_path / folder / "queries" / f"{name}.sql"
            path.write_text(f"-- Of {folder}\nSELECT 1", "utf-8")
    monkeypatch.chdir(tmp_path)

    assert named_query(Path("elsewhere"), "a").startswith("-- Of elsewhere")
    assert named_query(Path("elsewhere"), "b").startswith("-- Of ledger")
    assert named_query(Path("ledger"), "a").startswith("-- Of ledger")


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"SELECT 1", r"line 1: expected `-- `"), (b"-- caf\xe9\nSELECT 1", "expected UTF-8")],
)
def test_a_query_that_cannot_be_used_breaks_its_name_alone(tmp_path, data, problem):
    """A file in another encoding or without a header is named when it is asked for, or listed."""
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "good.sql").write_text("-- Good\nSELECT 1", "utf-8")
    (tmp_path / "queries" / "mute.sql").write_bytes(data)

    with pytest.raises(QueryError, match=rf"mute\.sql: {problem}") as refused:
        named_query(tmp_path, "mute")
    assert len(refused.value.problems) == 1
    assert named_query(tmp_path, "good") == "-- Good\nSELECT 1"
    assert named_query(tmp_path, "SELECT 1") == "SELECT 1"
    with pytest.raises(QueryError, match=r"mute: cannot be used"):
        named_query(tmp_path, "other")
