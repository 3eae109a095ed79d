"""The command line, as a shell sees it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repro import cli
from repro.engine.run import run
from tests.engine import tiny
from tests.ledger import ledgers
from tests.ledger.keys import key_pair

FINISHED = [["--help"], ["plan", "SPEC"], ["run", "SPEC"], ["sql", "select 1"], ["verify"]]


def test_a_report_of_claims_that_cannot_be_read_says_so(tmp_path):
    """The mistake and exit status 2, and no page is named that is not there."""
    ledgers.execute(tmp_path / "ledger")
    (tmp_path / "reports" / "toy").mkdir(parents=True)
    (tmp_path / "reports" / "toy" / "claims.toml").write_text("schema = 1\n", encoding="utf-8")

    status, _, talk = repro(tmp_path, "report", "--reports", str(tmp_path / "reports"))

    assert (status, "title: missing" in talk, "claims.html" in talk) == (2, True, False)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A ledger with one finished run of a tiny spec."""
    folder = tmp_path_factory.mktemp("places")
    spec = tiny.write(folder)
    run([spec], root=folder / "ledger", cache=folder / "cache")
    return folder


def repro(places, *arguments):
    """Run a command; return its exit status, standard output and standard error."""
    command = ["--ledger", str(places / "ledger"), "--cache", str(places / "cache"), *arguments]
    done = subprocess.run(
        [sys.executable, "-m", "repro", *command], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", FINISHED, ids=lambda command: command[0])
def test_a_command_that_does_not_compute_loads_no_torch(places, command):
    """Plans, questions and finished runs start in a fraction of a second, because of this."""
    named = [str(places / "tiny.toml") if each == "SPEC" else each for each in command]
    arguments = ["repro", "--ledger", str(places / "ledger"), *named]
    code = (
        f"import atexit, sys; sys.argv = {arguments!r}\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "from repro.cli import main; main()"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.splitlines()[-1] == "False"


def test_every_mistake_of_a_spec_is_a_line_on_standard_error(places, tmp_path):
    """Two mistakes are two lines, exit status 2, and no traceback."""
    spec = tiny.write(tmp_path, tiny.DENOISE.replace("steps", "stepz").replace("digits", "digit"))

    status, output, talk = repro(places, "plan", str(spec))

    assert (status, output, "Traceback" in talk) == (2, "", False)
    assert "digit" in talk
    assert "stepz" in talk


def test_a_bundle_has_the_digest_that_was_printed(places, tmp_path):
    """The verifier in the folder accepts it, and needs nothing of ours."""
    bundle = tmp_path / "bundle"
    _, output, talk = repro(places, "bundle", "2", "--out", str(bundle), "--leave-out", "state")
    verifier = [sys.executable, "-I", "-S", str(bundle / "verify_bundle.py")]

    done = subprocess.run(
        [*verifier, "--digest", output.strip()], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "verified\n")
    assert "left out" in talk


def test_a_run_that_is_not_there_cannot_be_done_again(places):
    """One line, exit status 2, and nothing computed."""
    status, output, talk = repro(places, "rerun", "ffff")

    assert (status, output) == (2, "")
    assert "'ffff' begins no run's or execution's id" in talk


def test_a_plan_in_json_says_what_is_done(places):
    """Every stage of a finished run is done, and says by which execution."""
    _, output, _ = repro(places, "plan", "--json", str(places / "tiny.toml"))

    (plan,) = json.loads(output)
    assert {stage["state"] for stage in plan["stages"]} == {"done"}


def test_a_plan_says_what_is_missing_and_how_to_get_it(places, tmp_path):
    """Offline, with an empty cache, a plan on CIFAR-10 is blocked and names the command."""
    spec = tiny.write(tmp_path, tiny.DENOISE.replace("digits", "cifar10"))

    status, output, _ = repro(places, "plan", "--offline", str(spec))

    assert status == 2
    assert "repro fetch cifar10" in output


def test_sql_prints_csv_with_a_header(places):
    """A header, then the rows."""
    _, output, _ = repro(places, "sql", "--csv", "select 1 as one, 'a,b' as two")

    assert output.split() == ["one,two", '1,"a,b"']


def test_sql_prints_json_rows(places):
    """One object a row."""
    _, output, _ = repro(places, "sql", "--json", "select 1 as one")

    assert json.loads(output) == [{"one": 1}]


def test_sql_binds_a_named_parameter(places):
    """A value of the user's never becomes part of the statement."""
    _, output, _ = repro(places, "sql", "--json", "-p", "x=1; drop", "select $x as said")

    assert json.loads(output) == [{"said": "1; drop"}]


def test_sql_writes_parquet(places, tmp_path):
    """The file holds the rows."""
    path = tmp_path / "rows.parquet"

    status, _, talk = repro(places, "sql", "--parquet", str(path), "select 1 as one")

    assert (status, path.read_bytes()[:4]) == (0, b"PAR1"), talk


def test_sql_refuses_to_write(places):
    """The ledger is only read; a refusal is exit status 2."""
    status, _, talk = repro(places, "sql", "delete from executions")

    assert status == 2
    assert "Traceback" not in talk


def test_show_takes_the_beginning_of_an_id(places):
    """Eight digits of a run id are enough when no other run begins so."""
    _, output, _ = repro(places, "sql", "--json", "select run_id from runs")
    run_id = json.loads(output)[0]["run_id"]

    status, output, _ = repro(places, "show", "--json", run_id[:8])

    assert status == 0
    assert run_id in output


def test_the_head_is_one_digest(places):
    """Short enough for a commit message."""
    _, output, _ = repro(places, "ledger", "head")

    assert len(output.split()) == 1


def test_a_rebuilt_ledger_says_how_many_records_it_holds(places):
    """The tables come back from the segments."""
    status, output, _ = repro(places, "ledger", "rebuild", "--json")

    assert status == 0
    assert json.loads(output)["records"] > 0


def test_an_edited_record_fails_verification(places, tmp_path):
    """Exit status 1, and the segment is named."""
    copy = tmp_path / "ledger" / "segments"
    copy.mkdir(parents=True)
    (segment,) = (places / "ledger" / "segments").glob("*.jsonl")
    text = segment.read_text(encoding="utf-8").replace("tiny", "Tiny", 1)
    (copy / segment.name).write_text(text, encoding="utf-8")

    status, output, _ = repro(tmp_path, "verify")

    assert status == 1
    assert segment.stem in output


def test_a_ledger_is_verified_deeply(places):
    """Ids and values are computed again; in JSON, what was read and computed is counted."""
    status, output, _ = repro(places, "verify", "--deep", "--json")

    told = json.loads(output)
    assert status == 0
    assert told["verified"]["findings"] == told["recomputed"]["findings"] == []
    assert (len(told["verified"]["executions"]), told["recomputed"]["num_plans"]) == (1, 1)


def test_a_ledger_is_held_to_a_head(places, tmp_path):
    """The head of the present fits, another one is exit status 1, and says what it may mean."""
    out = tmp_path / "head.json"
    _, head, _ = repro(places, "ledger", "head", "--out", str(out))

    by_digest, by_file, by_another = (
        repro(places, "verify", "--against", each)
        for each in (head.strip(), str(out), f"sha256:{'0' * 64}")
    )

    assert [by_digest[0], by_file[0], by_another[0]] == [0, 0, 1]
    assert "rolled back" in by_another[1]


def test_a_signed_head_is_verified_with_its_key(places, tmp_path):
    """Signing wants a private key and verification the public one, from a file each."""
    private, public = key_pair(tmp_path)
    out = tmp_path / "head.dsse.json"
    signed, _, _ = repro(places, "ledger", "head", "--sign", str(private), "--out", str(out))

    with_key, without_key, alone = (
        repro(places, "verify", *options)
        for options in (
            ("--against", str(out), "--key", str(public)),
            ("--against", str(out)),
            ("--key", str(public)),
        )
    )

    assert [signed, with_key[0], without_key[0], alone[0]] == [0, 0, 2, 2]


def test_every_command_is_in_the_readme():
    """A command that nobody is told of does not exist."""
    told = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

    missing = [name for name in _commands(cli.repro) if f"repro {name}" not in told]

    assert missing == []


def test_every_command_takes_json():
    """What a person reads, a program can read."""
    without = [
        name for name, command in _commands(cli.repro).items() if "json_" not in _options(command)
    ]

    assert without == []


def _commands(group, prefix=""):
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        nested = getattr(command, "commands", None)
        found |= _commands(command, f"{prefix}{name} ") if nested else {f"{prefix}{name}": command}
    return found


def _options(command):
    return {parameter.name for parameter in command.params}
