"""Files of numbers: tables and logs."""

import json
from pathlib import Path

import pytest

from repro.errors import ResourceError
from repro.ledger.exchange.json_numbers import read
from repro.ledger.exchange.told import Run
from tests.ledger.exchange.sources import ignore, numbers

PUBLISHED = sorted((Path(__file__).parents[3] / "reports").glob("*/published.json"))

TABLE = """
{"source": "A paper", "study": "slot", "facts": {"dataset": "cifar10"},
 "numbers": [{"run": "lead_5", "metric": "fid", "value": 34.21, "num_samples": 10000},
             {"run": "lead_5", "metric": "fid", "value": 61.7, "num_samples": 1000, "step": 7},
             {"run": "sync", "metric": "fid", "value": "NaN", "facts": {"where": "the table"}}]}
"""
LOG = """
{"step": 1, "loss": 0.5, "nested": {"a": 2}, "time": "10:00", "host": "h", "config": {"lr": 1e-4}}

{"step": 2, "loss": "nan", "nested": {"a": 3}, "time": "10:01", "host": "h", "config": {"lr": 1e-4}}
{"loss": 0.1, "ok": true, "config": {"lr": 2e-4}}
"""


def told(folder: Path, text: str, name: str = "log.jsonl") -> list[Run]:
    """What a file with this text tells."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return list(read(path, ignore))


def test_a_table(tmp_path):
    """Each number stands under its run; source, study and facts stand for every run."""
    first, second = told(tmp_path, TABLE, "table.json")

    assert (first.name, first.source, first.study) == ("lead_5", "A paper", "slot")
    assert [(curve.num_samples, curve.steps) for curve in first.curves] == [
        (10000, (None,)),
        (1000, (7,)),
    ]
    assert (second.facts, second.curves[0].facts) == (
        {"dataset": "cifar10"},
        {"where": "the table"},
    )
    assert numbers(second) == {"fid": [(None, "nan")]}


def test_a_list_of_tables(tmp_path):
    """A file may have several sources."""
    tables = f"[{TABLE}, {TABLE.replace('A paper', 'Another')}]"

    assert [run.source for run in told(tmp_path, tables, "tables.json")] == [
        "A paper", "A paper", "Another", "Another",
    ]  # fmt: skip


def test_a_log(tmp_path):
    """Lines with equal settings are a run; a text is about the run if every line repeats it."""
    first, second = told(tmp_path, LOG)

    assert numbers(first) == {
        "loss": [(1, "0.5"), (2, "nan")],
        "nested.a": [(1, "2"), (2, "3")],
    }
    assert (first.name, first.facts) == (
        f"{tmp_path.name}/log",
        {"config": {"lr": 1e-4}, "host": "h"},
    )
    assert (second.name, numbers(second)) == (f"{tmp_path.name}/log (2)", {"loss": [(None, "0.1")]})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('"numbers"', '"number"'), "expected an object with a list named `numbers`"),
        (('"source"', '"sauce"'), "sauce: unknown, expected one of: source, study, facts, numbers"),
        (('"A paper"', "1"), "source: expected str, got 1"),
        (('"run": "sync", ', ""), r"numbers\[2\]: run: expected a text, got None"),
        (("34.21", '"low"'), r"numbers\[0\]: value: expected a number, got 'low'"),
        (("34.21", "true"), r"numbers\[0\]: value: expected a number, got True"),
        (("34.21", "1" + "0" * 400), r"numbers\[0\]: value: expected a number"),
        (("10000", "1e4"), r"numbers\[0\]: num_samples: expected a whole number, got 10000\.0"),
        (
            ('"step": 7', '"step": 9223372036854775808'),
            r"numbers\[1\]: step: expected a whole number",
        ),
        (('"step": 7', '"stepp": 7'), r"numbers\[1\]: stepp: unknown"),
        (('{"where": "the table"}', "[]"), r"numbers\[2\]: facts: expected an object"),
        (('[{"run": "lead_5"', '[7, {"run": "lead_5"'), r"numbers\[0\]: expected an object"),
        (("]}", "]"), "no JSON"),
    ],
)
def test_a_mistake_in_a_table(change: tuple[str, str], problem, tmp_path):
    """The message names the file, the place, what was found and what was expected."""
    assert change[0] in TABLE

    with pytest.raises(ResourceError, match=rf"table\.json: {problem}"):
        told(tmp_path, TABLE.replace(change[0], change[1], 1), "table.json")


def test_every_mistake_is_said_at_once(tmp_path):
    """A table with three mistakes is corrected once."""
    text = TABLE.replace('"value"', '"valeu"')

    with pytest.raises(ResourceError) as caught:
        told(tmp_path, text, "table.json")

    assert len(caught.value.problems) == 6


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1}\n{"a"', r"line 2: no JSON"),
        ("\n[1]", r"line 2: expected a JSON object, got \[1\]"),
        ("[" * 100_000, r"line 1: nested too deeply"),
        ("\n", "is empty"),
    ],
    ids=["torn", "a list", "deep", "empty"],
)
def test_a_mistake_in_a_log(text, problem, tmp_path):
    """The line is named."""
    with pytest.raises(ResourceError, match=problem):
        told(tmp_path, text)


def test_a_file_that_cannot_be_read(tmp_path):
    """It is not there, or is no text."""
    with pytest.raises(ResourceError, match="cannot be read: No such file"):
        list(read(tmp_path / "none.json", ignore))
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ResourceError, match="expected UTF-8"):
        list(read(tmp_path / "bytes.json", ignore))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_numbers(path):
    """Each belongs to the study in whose folder it lies, and says where it stands in which text."""
    runs = list(read(path, ignore))

    assert {run.study for run in runs} == {path.parent.name}
    assert all(run.source for run in runs)
    assert all(curve.facts["where"] for run in runs for curve in run.curves)


def test_a_published_number_is_written_once():
    """No two entries of a file say the same of the same."""
    for path in PUBLISHED:
        tables = json.loads(path.read_text(encoding="utf-8"))
        for table in tables if isinstance(tables, list) else [tables]:
            rows = [json.dumps(row, sort_keys=True) for row in table["numbers"]]
            assert len(rows) == len(set(rows)), path


def test_only_a_line_feed_ends_a_line(tmp_path):
    """JSON texts may hold other characters that Unicode calls ends of lines."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"fid": 1, "said": "one\u2028two"}\r\n{"fid": 2}\n', encoding="utf-8")

    (run,) = read(path, ignore)

    assert numbers(run) == {"fid": [(None, "1"), (None, "2")]}
