"""MLflow's and trackio's databases, as their own releases wrote them."""

import sqlite3
from contextlib import closing

import pytest

from repro.errors import ResourceError
from repro.ledger.exchange import mlflow_database, sqlite_file, trackio_database
from tests.ledger.exchange.sources import database, ignore, numbers
from tests.ledger.exchange.sources import mlflow_database as mlflow_file
from tests.ledger.exchange.sources import trackio_database as trackio_file

LEGACY = """
CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_name TEXT, step INTEGER, metrics TEXT);
CREATE TABLE configs (id INTEGER PRIMARY KEY, run_name TEXT, config TEXT);
INSERT INTO metrics VALUES (1, 'old', 0, '{"fid": 3}');
"""


def test_every_run_of_mlflow_is_told(tmp_path):
    """The deleted one too: it was tried."""
    runs = list(mlflow_database.read(mlflow_file(tmp_path), ignore))

    assert [(run.name, run.facts["status"], run.facts["lifecycle"]) for run in runs] == [
        ("drifting/r0", "FINISHED", "active"),
        ("drifting/r1", "FINISHED", "active"),
        ("drifting/deleted", "RUNNING", "deleted"),
    ]


def test_every_value_that_mlflow_keeps_is_told(tmp_path):
    """NaN and infinity as they were logged, and both values of a step that was logged twice."""
    edited = list(mlflow_database.read(mlflow_file(tmp_path), ignore))[1]

    assert numbers(edited) == {
        "bad": [(0, "nan"), (1, "inf")],
        "fid": [(400, "299"), (400, "3.01")],
        "loss": [(0, "1"), (1, "0.5"), (2, "0.333333")],
    }


def test_what_mlflow_says_of_a_run(tmp_path):
    """Its parameters, and the tags that people gave it; not who it was on which machine."""
    facts = next(iter(mlflow_database.read(mlflow_file(tmp_path), ignore))).facts

    assert (facts["params"], facts["tags"]) == (
        {"lr": "1e-4", "inception": "pretrained"},
        {"note": "hello"},
    )
    assert "/home/someone" not in str(facts)


def test_runs_of_one_name_are_told_apart(tmp_path):
    """The first keeps the plain name, so that it stays the same when another comes."""
    path = mlflow_file(tmp_path)
    database(path, "UPDATE runs SET name = 'r0'")

    names = [run.name for run in mlflow_database.read(path, ignore)]

    assert names == ["drifting/r0", "drifting/r0 (6f84f004)", "drifting/r0 (3078bcfd)"]


def test_a_folder_is_no_database_of_mlflow(tmp_path):
    """The message says how to make one of a folder of files."""
    with pytest.raises(ResourceError, match="migrate-filestore"):
        list(mlflow_database.read(tmp_path, ignore))


def test_numbers_of_trackio(tmp_path):
    """Nested ones by dotted names, NaN and infinity from their words; texts are no numbers."""
    first = next(iter(trackio_database.read(trackio_file(tmp_path), ignore)))

    assert (first.name, numbers(first)) == (
        "p/r0",
        {
            "fid": [(0, "1"), (1, "0.5"), (2, "0.333333"), (100, "nan")],
            "val/loss": [(0, "0"), (1, "1"), (2, "2"), (100, "inf")],
            "nest.a": [(0, "1.5"), (1, "1.5"), (2, "1.5")],
        },
    )


def test_what_trackio_says_of_a_run(tmp_path):
    """What the run was given; not the user's name."""
    first = next(iter(trackio_database.read(trackio_file(tmp_path), ignore)))

    config = {"inception": "pretrained", "lr": 0.0001, "nested": {"a": 1}}
    assert first.facts == {"project": "p", "config": config}


def test_every_project_of_a_folder(tmp_path):
    """A folder of trackio has a database a project; an old one knows runs by name alone."""
    trackio_file(tmp_path)
    database(tmp_path / "before.db", LEGACY)

    names = [run.name for run in trackio_database.read(tmp_path, ignore)]

    assert names == ["before/old", "p/r0", "p/r1"]


def test_pictures_of_trackio_have_no_numbers(tmp_path):
    """The width of a picture is no metric."""
    picture = """{"grid": {"_type": "trackio.image", "width": 3}, "fid": 2, "flag": true}"""
    path = database(tmp_path / "p.db", LEGACY.replace('{"fid": 3}', picture))

    (run,) = trackio_database.read(path, ignore)

    assert numbers(run) == {"fid": [(0, "2")]}


@pytest.mark.parametrize("text", ["{", "[1]"], ids=["broken", "a list"])
def test_a_row_that_is_no_object_is_refused(text, tmp_path):
    """The message names the file."""
    path = database(tmp_path / "p.db", LEGACY.replace('{"fid": 3}', text))

    with pytest.raises(ResourceError, match=r"p\.db: holds a row that is no JSON"):
        list(trackio_database.read(path, ignore))


def test_an_empty_folder_has_no_project(tmp_path):
    """The message says what was expected there."""
    with pytest.raises(ResourceError, match="trackio's folder"):
        list(trackio_database.read(tmp_path, ignore))


@pytest.mark.parametrize("read", [mlflow_database.read, trackio_database.read])
def test_a_file_that_is_not_there(read, tmp_path):
    """It is not created by looking."""
    path = tmp_path / "none.db"

    with pytest.raises(ResourceError, match=r"none\.db: no such file"):
        list(read(path, ignore))

    assert not path.exists()


@pytest.mark.parametrize("read", [mlflow_database.read, trackio_database.read])
def test_a_file_that_is_no_database(read, tmp_path):
    """Text is refused without a traceback."""
    path = tmp_path / "text.db"
    path.write_text("no database at all\n" * 100, encoding="utf-8")

    with pytest.raises(ResourceError, match="not a database"):
        list(read(path, ignore))


def test_a_database_of_another_shape(tmp_path):
    """Every column that is missing is named."""
    path = trackio_file(tmp_path)

    with pytest.raises(ResourceError, match=r"lacks experiments\.experiment_id, .*, metrics\.key"):
        list(mlflow_database.read(path, ignore))


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE metrics SET value = 'x'", "metrics.value holds a value of type text"),
        ("UPDATE metrics SET step = 'x'", "metrics.step holds a value of type text"),
        ("UPDATE metrics SET key = x'ff'", "metrics.key holds a value of type blob"),
        ("UPDATE runs SET start_time = 'x'", "runs.start_time holds a value of type text"),
    ],
)
def test_a_value_of_another_type_is_refused(statement, found, tmp_path):
    """SQLite keeps any value in any column; none that is no number becomes a number."""
    path = database(mlflow_file(tmp_path), statement)

    with pytest.raises(ResourceError, match=found):
        list(mlflow_database.read(path, ignore))


def test_a_step_of_trackio_is_whole(tmp_path):
    """Half a step has no place in the ledger."""
    path = database(tmp_path / "p.db", LEGACY)
    database(path, "UPDATE metrics SET step = 1.5")

    with pytest.raises(ResourceError, match=r"metrics\.step holds a value of type real"):
        list(trackio_database.read(path, ignore))


def test_a_time_that_is_none_is_told_as_it_is(tmp_path):
    """Microseconds in the place of milliseconds are a year of five digits."""
    path = database(mlflow_file(tmp_path), "UPDATE runs SET start_time = 1700000000000000")

    first, *_ = mlflow_database.read(path, ignore)

    assert first.facts["started_at"] == "1700000000000000 ms since 1970"


def test_a_database_is_opened_to_read_alone(tmp_path):
    """Not even by mistake can it be changed, and its own program may have it open meanwhile."""
    path = mlflow_file(tmp_path)
    before = path.read_bytes()
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT 1 FROM runs").fetchall()

        with (
            pytest.raises(ResourceError, match="attempt to write a readonly database"),
            sqlite_file.opened(
                path, what="a database", expected={"runs": {"name": "text null"}}
            ) as opened,
        ):
            opened.execute("DELETE FROM runs")

    assert path.read_bytes() == before
