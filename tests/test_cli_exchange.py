"""The commands that take numbers in from elsewhere, and give them to others."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from repro import cli
from repro.errors import ResourceError
from tests.ledger.exchange.fake_mlflow import serving
from tests.ledger.ledgers import execute


def repro(folder: Path, *arguments: str) -> Result:
    """Run a command on the ledger of a folder."""
    return CliRunner().invoke(cli.repro, ["--ledger", str(folder / "ledger"), *arguments])


@pytest.fixture
def log(tmp_path: Path) -> str:
    """A log with two numbers of one step."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "fid": 3.5, "loss": 1}', encoding="utf-8")
    return str(path)


def test_an_import_says_what_it_added(tmp_path: Path, log: str):
    """The execution first, then how much; the second time, that nothing was new."""
    first = repro(tmp_path, "import", "json", log, "--study", "toy")
    second = repro(tmp_path, "import", "json", log, "--study", "toy")

    assert first.stdout.endswith("  2 of 2 numbers added, of 1 runs\n")
    assert (second.stdout, second.stderr) == ("", "nothing new in 2 numbers of 1 runs\n")


def test_an_import_in_json(tmp_path: Path, log: str):
    """The same facts for a program; one metric alone can be named."""
    result = repro(tmp_path, "import", "json", log, "--study=toy", "--metric=fid", "--json")

    said = json.loads(result.stdout)
    assert (said["runs"], said["numbers"], said["added"]) == (1, 1, 1)


def test_a_source_can_be_named(tmp_path: Path, log: str):
    """Instead of the format's name."""
    repro(tmp_path, "import", "json", log, "--study=toy", "--source=my trainer")

    result = repro(tmp_path, "sql", "--csv", "SELECT DISTINCT source FROM imported")

    assert result.stdout.split("\n")[1].strip() == "my trainer"


def test_a_format_that_nobody_knows(tmp_path: Path, log: str):
    """The message lists those that are known."""
    result = repro(tmp_path, "import", "wandb", log)

    assert result.exit_code == 2
    assert "expected one of: mlflow, trackio, tensorboard, json" in result.stderr


def test_a_file_that_is_not_there(tmp_path: Path):
    """One line, and no ledger made on the way."""
    result = repro(tmp_path, "import", "json", str(tmp_path / "none.json"), "--study=toy")

    assert isinstance(result.exception, ResourceError)
    assert not (tmp_path / "ledger").exists()


def test_an_export_to_parquet_lists_the_tables(tmp_path: Path):
    """With their numbers of rows; as JSON too."""
    execute(tmp_path / "ledger")

    shown = repro(tmp_path, "export", "parquet", str(tmp_path / "one"))
    said = repro(tmp_path, "export", "parquet", str(tmp_path / "two"), "--json")

    assert "progress" in shown.stdout
    assert json.loads(said.stdout)["progress"] == 6


def test_an_export_to_mlflow_says_what_it_sent(tmp_path: Path):
    """And the second time that everything was there."""
    execute(tmp_path / "ledger")

    with serving() as server:
        first = repro(tmp_path, "export", "mlflow", server.url)
        second = repro(tmp_path, "export", "mlflow", server.url, "--json")

    assert first.stdout == "1 executions sent with 7 numbers, 0 were there\n"
    assert "7 numbers sent, as run run0" in first.stderr
    assert json.loads(second.stdout) == {"executions": 0, "known": 1, "numbers": 0}


@pytest.mark.parametrize("option", ["--license", "--publisher"])
def test_a_bundle_names_pages_by_their_address(tmp_path: Path, option: str):
    """Any other text would be the name of a file that is not there."""
    execution_id = execute(tmp_path / "ledger")
    out = tmp_path / "bundle"

    refused = repro(tmp_path, "bundle", execution_id, "--out", str(out), option, "MIT")
    made = repro(tmp_path, "bundle", execution_id, "--out", str(out), option, "https://host.org/x")

    assert f"{option} MIT: expected an address such as https://" in refused.stderr
    assert (refused.exit_code, made.exit_code) == (2, 0)
