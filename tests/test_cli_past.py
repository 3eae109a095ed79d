"""The commands that look back, as a person types them."""

import json

import pytest
from click.testing import CliRunner

from repro.cli import repro
from tests.ledger import example


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Run a command on the ledger of three runs."""
    root = tmp_path_factory.mktemp("ledger")
    example.write(root)

    def ask(*arguments):
        return CliRunner().invoke(repro, ["--ledger", str(root), *arguments])

    return ask


@pytest.fixture(scope="module")
def ids(asked):
    """The ids of the runs, oldest first."""
    return [entry["run_id"] for entry in json.loads(asked("changelog", "digits", "--json").stdout)]


def test_explain_names_the_field_that_moved_the_id(asked, ids):
    """Ids may be cut short."""
    text = asked("explain", ids[0][:8], ids[1][:8]).stdout

    assert "  train.lr: 0.002 -> 0.001\n" in text


def test_explain_takes_overrides(asked, tmp_path):
    """A file against itself with another seed."""
    spec = tmp_path / "a.toml"
    spec.write_text(example.SPEC, encoding="utf-8")

    found = json.loads(asked("explain", str(spec), str(spec), "--json").stdout)
    chosen = asked("explain", str(spec), str(spec), "--set", "train.seed=9").stdout

    assert found["fields"] == []
    assert chosen.startswith(found["old"]["run_id"])
    assert "  train.seed: 1 -> 9\n" in chosen


def test_a_recorded_run_takes_no_overrides(asked, ids):
    """It is what it is; an option that does nothing would look as if it did."""
    result = asked("explain", ids[0], ids[1], "--set", "train.seed=9")

    assert "a recorded run is what it is; --set is for a spec file" in str(result.exception)


def test_diff_shows_every_part(asked, ids):
    """Spec, code, environment, measurements."""
    text = asked("diff", ids[0], ids[1]).stdout

    for line in ("spec\n", "code\n", "environment\n", "measurements (new - old)\n"):
        assert line in text


def test_diff_is_data_too(asked, ids):
    """Both executions, and each change with its values."""
    found = json.loads(asked("diff", ids[0], ids[1], "--json").stdout)

    (change,) = found["spec"]
    assert (change["path"], change["old"], change["new"]) == ("train.lr", 0.002, 0.001)


def test_a_changelog_is_markdown(asked, ids):
    """One point a run."""
    text = asked("changelog", "digits").stdout

    runs = [line.split()[3] for line in text.splitlines() if line.startswith("- ")]
    assert runs == [f"{each}:" for each in ids]
