"""From files of others to records, each number once."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro.digest import sha256
from repro.errors import LedgerError, ResourceError
from repro.ledger import query, verify
from repro.ledger.exchange import import_numbers
from repro.ledger.lease import lease
from tests.ledger.exchange.sources import (
    EVENTS,
    database,
    ignore,
    mlflow_database,
    trackio_database,
)
from tests.ledger.ledgers import execute

LOG_AGAIN = """
INSERT INTO metrics SELECT 'loss', 0.25, 1, run_uuid, 3, 0 FROM runs WHERE name = 'r0';
"""


def log(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def take(root: Path, path: Path, format_: str = "json", **more):
    return import_numbers(root, format_, [path], notify=ignore, **{"study": "toy", **more})


def rows(root: Path, columns: str) -> list[tuple[Any, ...]]:
    return [*query(root, f"SELECT {columns} FROM imported ORDER BY execution_id, seq, step").rows]


@pytest.mark.parametrize(
    ("format_", "source", "runs", "numbers"),
    [
        ("mlflow", mlflow_database, 3, 14),
        ("trackio", trackio_database, 2, 22),
        ("tensorboard", lambda _: EVENTS, 2, 11),
    ],
    ids=["mlflow", "trackio", "tensorboard"],
)
def test_importing_twice_adds_nothing(format_, source, runs, numbers, tmp_path):
    """Neither a number nor an execution; and what was added verifies."""
    path = source(tmp_path)
    root = tmp_path / "ledger"

    first = take(root, path, format_)
    second = take(root, path, format_)

    assert (first.runs, first.numbers, first.added) == (runs, numbers, numbers)
    assert (second.execution_id, second.numbers, second.added) == (None, numbers, 0)
    assert len(rows(root, "value")) == numbers
    assert not verify(root)


def test_what_was_logged_since_is_added(tmp_path):
    """And nothing else."""
    path = mlflow_database(tmp_path)
    take(tmp_path, path, "mlflow")
    database(path, LOG_AGAIN)

    counts = take(tmp_path, path, "mlflow")

    assert counts.added == 1
    assert rows(tmp_path, 'run, metric, step, "value"')[-1] == ("drifting/r0", "loss", 3, 0.25)


def test_what_changed_about_a_run_is_added(tmp_path):
    """The status of a run that was running; what was recorded before stays."""
    path = mlflow_database(tmp_path)
    take(tmp_path, path, "mlflow")
    database(path, "UPDATE runs SET status = 'KILLED' WHERE name = 'deleted'")

    counts = take(tmp_path, path, "mlflow")

    found = query(
        tmp_path,
        "SELECT \"value\"->'facts'->>'status' FROM provenance WHERE provider = 'import'"
        " AND \"value\"->>'run' = 'drifting/deleted' ORDER BY execution_id",
    )
    assert (counts.added, found.rows) == (0, (("RUNNING",), ("KILLED",)))


def test_an_edited_value_stands_beside_the_old_one(tmp_path):
    """What was said once cannot be taken back."""
    take(tmp_path, log(tmp_path, {"step": 1, "fid": 293.57}))

    take(tmp_path, log(tmp_path, {"step": 1, "fid": 3.01}))

    assert rows(tmp_path, '"value"') == [(293.57,), (3.01,)]


def test_a_file_that_cannot_be_read_leaves_no_trace(tmp_path):
    """The good one beside it is not recorded either."""
    good = log(tmp_path, {"fid": 1})
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{", encoding="utf-8")

    with pytest.raises(ResourceError):
        import_numbers(tmp_path, "json", [good, bad], study="toy", notify=ignore)

    assert not (tmp_path / "segments").exists()


def test_a_study_must_be_named(tmp_path):
    """By the file or by the option."""
    with pytest.raises(ResourceError, match=r"log\.jsonl: names no study; name it with --study"):
        take(tmp_path, log(tmp_path, {"fid": 1}), study="")


def test_the_same_numbers_of_another_source_are_others(tmp_path):
    """And of another study; a source is named after its format unless one is given."""
    path = log(tmp_path, {"fid": 1})

    take(tmp_path, path)
    take(tmp_path, path, source="a paper")
    take(tmp_path, path, study="other")

    assert rows(tmp_path, "source, study") == [
        ("json", "toy"),
        ("a paper", "toy"),
        ("json", "other"),
    ]


def test_only_the_named_metrics(tmp_path):
    """The rest of a log is noise to some."""
    take(tmp_path, log(tmp_path, {"fid": 1, "seed": 7, "time": 3}), metrics=["fid", "time"])

    assert rows(tmp_path, "metric") == [("fid",), ("time",)]


def test_a_metric_that_is_not_there(tmp_path):
    """A slip of the pen imports nothing, and the message says what there is."""
    path = log(tmp_path, {"fid": 1, "loss": 2})

    with pytest.raises(ResourceError, match="no metric is named fidd; expected one of: fid, loss"):
        take(tmp_path, path, metrics=["fidd", "loss"])

    assert not (tmp_path / "segments").exists()


def test_a_path_that_is_given_twice_counts_once(tmp_path):
    """However it is written."""
    path = log(tmp_path, {"fid": 1})
    again = tmp_path / "x" / ".." / "log.jsonl"
    (tmp_path / "x").mkdir()

    counts = import_numbers(tmp_path, "json", [path, again], study="toy", notify=ignore)

    assert counts.added == 1


def test_logs_of_one_name_in_two_folders_are_two_runs(tmp_path):
    """As every training calls its log the same; the folder's name tells them apart."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [log(tmp_path / "a", {"fid": 1}), log(tmp_path / "b", {"fid": 1})]

    import_numbers(tmp_path, "json", paths, study="toy", notify=ignore)

    assert rows(tmp_path, "run") == [("a/log",), ("b/log",)]


@pytest.mark.parametrize(
    ("format_", "path", "names"),
    [
        ("tensorboard", EVENTS, {"host.1.0", "host.1.1", "host.1.2.more"}),
        ("tensorboard", next((EVENTS / "train").iterdir()), {"host.1.0"}),
    ],
    ids=["folder", "file"],
)
def test_the_files_are_known_by_their_digests(format_, path, names, tmp_path):
    """What was read can be held against what lies there later."""
    take(tmp_path, path, format_)

    sql = "SELECT \"value\" FROM provenance WHERE provider = 'inputs'"
    ((told,),) = query(tmp_path, sql).rows
    found = json.loads(told)
    assert {name.partition("tfevents.1795170550.")[2] for name in found} == names
    assert all(
        said == sha256((EVENTS / name.partition("2.21.0/")[2]).read_bytes())
        for name, said in found.items()
    )


def test_an_import_is_an_execution_of_its_own(tmp_path):
    """Sealed, and in no denominator of the study's runs."""
    execute(tmp_path)
    before = query(tmp_path, "FROM denominator WHERE purpose = 'run'").rows

    counts = take(tmp_path, log(tmp_path, {"fid": 1}))

    found = query(tmp_path, "SELECT purpose, study, outcome FROM executions").rows[-1]
    assert found == ("import", "toy", "done")
    assert counts.execution_id is not None
    assert query(tmp_path, "FROM denominator WHERE purpose = 'run'").rows == before


def test_an_imported_number_is_no_measurement(tmp_path):
    """It is in a table of its own: no query over results, and no gate, can meet it."""
    take(tmp_path, log(tmp_path, {"fid": 1}))

    assert query(tmp_path, "SELECT count(*) FROM measurements").rows == ((0,),)
    assert query(tmp_path, "SELECT count(*) FROM results").rows == ((0,),)


def test_secrets_stay_outside(tmp_path):
    """Logins in URLs, values under names of secrets, and the home folder."""
    path = log(
        tmp_path,
        {
            "config": {
                "api_key": "s3cret",
                "nested": [{"wandb_token": "s3cret"}],
                "url": "https://me:s3cret@host/x",
                "num_tokens": 7,
                "folder": f"{Path.home()}/data",
            },
            "fid": 1,
        },
    )

    take(tmp_path, path)

    (segment,) = (tmp_path / "segments").iterdir()
    text = segment.read_text(encoding="utf-8")
    assert "s3cret" not in text
    assert f"{Path.home()}/data" not in text
    assert '"num_tokens":7' in text


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a\nb", "ε'\"", "̈"])
def test_any_text_can_be_a_name(name, tmp_path):
    """Even one that a database or JSON cannot hold: it is written so that it can, and known."""
    path = log(tmp_path, {name: 1, "config": {"said": name}})

    first, second = take(tmp_path, path), take(tmp_path, path)

    assert (first.added, second.execution_id) == (1, None)
    assert len(rows(tmp_path, "metric")) == 1


def test_a_setting_may_be_no_number(tmp_path):
    """NaN has no canonical form; it is written as a word, and known again."""
    path = log(tmp_path, {"fid": 1, "config": {"clip": [float("nan"), 2]}})

    first, second = take(tmp_path, path), take(tmp_path, path)

    assert (first.added, second.execution_id) == (1, None)


def test_a_long_curve_is_many_records(tmp_path):
    """No line of a segment grows without bound."""
    counts = take(tmp_path, log(tmp_path, *({"step": step, "loss": 1} for step in range(25_000))))

    assert counts.added == 25_000
    assert query(tmp_path, "SELECT count(DISTINCT seq) FROM imported").rows == ((3,),)


def test_two_imports_at_once_add_once(tmp_path):
    """Whoever comes first adds; the others find nothing new."""
    path = log(tmp_path, *({"step": step, "loss": step} for step in range(100)))

    with ThreadPoolExecutor(3) as pool:
        added = sorted(each.added for each in pool.map(lambda _: take(tmp_path, path), range(3)))

    assert added == [0, 0, 100]


def test_an_import_waits_for_another(tmp_path):
    """It says for whom, and compares with the ledger only when the other has ended."""
    path = log(tmp_path, {"fid": 1})
    said: SimpleQueue[str] = SimpleQueue()

    with ThreadPoolExecutor(1) as pool:
        with lease(tmp_path, "import"):
            later = pool.submit(
                import_numbers, tmp_path, "json", [path], study="toy", notify=said.put
            )
            notice = said.get(timeout=20)
            recorded = (tmp_path / "segments").exists()
        counts = later.result(timeout=20)

    assert notice.startswith("waiting for process")
    assert (recorded, counts.added) == (False, 1)


def test_no_import_past_a_fold_that_does_not_end(tmp_path, monkeypatch):
    """What others recorded must be known before anything can be called new."""
    execute(tmp_path)
    monkeypatch.setattr("repro.ledger.exchange.importing.fold", lambda root: None)

    with pytest.raises(LedgerError, match="holds the fold lock"):
        take(tmp_path, log(tmp_path, {"fid": 1}))


def test_the_page_shows_what_works(tmp_path):
    """Its table of numbers can be imported, and its statement finds what was said of the run."""
    page = (Path(__file__).parents[3] / "ledger" / "README.md").read_text(encoding="utf-8")
    section = page.partition("## Numbers from elsewhere")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```json\n(.+?)```", section, re.DOTALL)
    (statement,) = re.findall(r"```sql\n(.+?)```", section, re.DOTALL)
    path = tmp_path / "table.json"
    path.write_text(example, encoding="utf-8")

    take(tmp_path, path)

    table = query(tmp_path, statement)
    assert {row[-1] for row in table.rows} == {'{"dataset":"CIFAR-10"}'}
    assert len(table.rows) == 2


NUMBERS = st.lists(
    st.tuples(
        st.sampled_from([None, 0, 1, 2**62]),
        st.sampled_from([0.0, -0.0, 0.1, 1e300, float("nan"), float("inf"), float("-inf")]),
    ),
    max_size=12,
)


@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(first=NUMBERS, since=NUMBERS)
def test_a_log_that_grows_is_imported_whole(first, since, tmp_path_factory):
    """However often it is imported, the ledger holds every line of it, as often as it is there."""
    folder = tmp_path_factory.mktemp("ledger")
    lines = [{"fid": value, "step": step} for step, value in [*first, *since]]

    for many in (len(first), len(first), len(lines)):
        take(folder, log(folder, {"other": 1}, *lines[:many]))

    told = [(None, 1.0), *((step, value or 0.0) for step, value in [*first, *since])]
    assert sorted(map(repr, rows(folder, 'step, "value"'))) == sorted(map(repr, told))
