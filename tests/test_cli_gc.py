"""The command that removes what nothing rests on."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from repro import cli
from repro.ledger import history, query
from tests.ledger.trainings import execute, grown_old


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A ledger with one finished run, a day old."""
    folder = tmp_path / "ledger"
    execute(folder)
    grown_old(folder)
    return folder


def repro(root: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    done = CliRunner().invoke(cli.repro, ["--ledger", str(root), *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_without_delete_nothing_is_removed(root):
    """The command says what may go, and how to remove it."""
    status, output, talk = repro(root, "gc")

    assert (status, "training state that nothing goes on from" in output) == (0, True)
    assert "--delete removes them" in talk
    assert len(list(root.glob("objects/??/*"))) == 9


def test_with_delete_it_is_removed(root):
    """Asked to, it removes them and says in which execution, which holds the command."""
    _, _, talk = repro(root, "gc", "--delete")

    (_, collection) = history.executions(root)
    assert collection.execution_id in talk
    assert (collection.start.purpose, collection.status) == ("gc", "done")
    assert len(list(root.glob("objects/??/*"))) == 4


def test_what_goes_as_json(root):
    """A program gets every file with its reason."""
    _, output, _ = repro(root, "gc", "--keep-checkpoints", "--json")

    assert [each["roles"] for each in json.loads(output)["gone"]] == [["state"]] * 3


def test_giving_up_counts_in_days(root):
    """A rehearsal of yesterday is given up after half a day, and not after two."""
    execute(root, "small", purpose="rehearsal")
    grown_old(root)

    told = [
        len(json.loads(repro(root, "gc", "--give-up", days, "--json")[1])["gone"])
        for days in ("0.5", "3")
    ]

    assert told == [13, 10]


def test_a_page_is_written(root, tmp_path):
    """The page lies where it was asked for."""
    repro(root, "gc", "--delete", "--report", str(tmp_path / "store.md"))

    page = (tmp_path / "store.md").read_text(encoding="utf-8")
    assert query(root, "SELECT DISTINCT execution_id FROM tombstones").rows[0][0] in page
