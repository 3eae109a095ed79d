"""Our own attacks at full count (tests/ledger/test_attacks.py), and the same on MLflow and trackio.

    python tools/bench/attacks/bench_attacks.py --mlflow PYTHON --trackio PYTHON

Each PYTHON belongs to an environment with that tracker. Two finished runs are made with it; for
each attack they are copied, attacked behind its back (a number is added through its interface), and
everything is read again in a fresh process. An attack counts as detected if the tracker refuses it,
or if reading fails or warns. What is served as if nothing had happened is not detected. An attack
that changes nothing of what is read would be a mistake of this script, and stops it.
"""

import argparse
import json
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

from attrs import frozen

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from results import table, write_section  # noqa: E402

SUITE = "tests/ledger/test_attacks.py"
HEADING = "Attacks (`attacks/bench_attacks.py`)"

NOTE = """{table}

Each on a copy of two finished runs, behind the tracker's back, then everything read again in a
fresh process; `add a number` goes through each tracker's own interface. *no*: what was attacked is
served as if nothing had happened; neither tracker has a command that checks. Ours names the file
and the record each time, and for a folder that was rolled back, from a head that was kept
elsewhere, every execution that is gone. Our whole suite, {num_tests} tests, passes in
{cpu_s:.0f} s of CPU (`pytest {suite} -m "slow or not slow"`): besides these a forger who recomputes
every hash, makes the database anew and removes the heads, and a segment cut at every byte of its
last three records, by `verify` and by the head.
"""

# What each attack is called here, and the tests that hold our ledger to it.
ATTACKS: Mapping[str, str] = {
    "edit the newest value in the database": "[edit a value in DuckDB]",
    "edit a record": "[edit a record]",
    "delete a record": "[delete a record]",
    "duplicate a record": "[duplicate a record]",
    "reorder two records": "[reorder two records]",
    "cut the end off": "[cut a segment]",
    "delete a run": "[delete a segment]",
    "replace an artifact by one of the same size": "[replace an artifact, same size]",
    "swap two artifacts' names": "[swap two artifacts' names]",
    "change a checkpoint after its evaluation": "[change a checkpoint]",
    "add a number to a finished run": "[append after the seal]",
    "back-date a run": "[back-date]",
    "replace the spec under an id": "spec under its id]",
    "roll the folder back to yesterday's copy": "test_a_ledger_rolled_back_is_found",
}


@frozen(kw_only=True)
class Peer:
    """A tracker: what runs it, and how somebody attacks what it has stored."""

    name: str
    python: Path
    script: str
    attacks: dict[str, Callable[[Path], None]]

    def call(self, what: str, folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self.python), str(HERE / self.script), what, str(folder), *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def version(self) -> str:
        code = f"from importlib.metadata import version; print(version({self.name!r}))"
        return subprocess.check_output([str(self.python), "-c", code], text=True).strip()


def sql(database: str, *statements: str) -> Callable[[Path], None]:
    """An attack on a tracker's database."""

    def attack(folder: Path) -> None:
        with closing(sqlite3.connect(folder / database)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return attack


def overwrite(*contents: tuple[str, str]) -> Callable[[Path], None]:
    """An attack on stored artifacts: whatever holds the first text then holds the second."""

    def attack(folder: Path) -> None:
        files = [path for path in (folder / "artifacts").rglob("*") if path.is_file()]
        held = {path: path.read_text(encoding="utf-8") for path in files}
        for path, text in held.items():
            if text in dict(contents):
                path.chmod(0o644)
                path.write_text(dict(contents)[text], encoding="utf-8")

    return attack


FILES = {
    "replace an artifact by one of the same size": overwrite(("one", "eno")),
    "swap two artifacts' names": overwrite(("one", "two"), ("two", "one")),
    "change a checkpoint after its evaluation": overwrite(("one", "one, trained further")),
}
ONE = "(SELECT run_uuid FROM runs WHERE name = 'one')"
MLFLOW = FILES | {
    name: sql("mlflow.db", *statements)
    for name, statements in {
        "edit the newest value in the database": (
            f"UPDATE latest_metrics SET value = 0.125 WHERE run_uuid = {ONE}",
        ),
        "edit a record": (f"UPDATE metrics SET value = 0.125 WHERE run_uuid = {ONE} AND step = 2",),
        "delete a record": (f"DELETE FROM metrics WHERE run_uuid = {ONE} AND step = 2",),
        "duplicate a record": (
            f"INSERT INTO metrics SELECT * FROM metrics WHERE run_uuid = {ONE} AND step = 2",
        ),
        "reorder two records": (
            f"UPDATE metrics SET step = 5 - step WHERE run_uuid = {ONE} AND step IN (2, 3)",
        ),
        "cut the end off": (f"DELETE FROM metrics WHERE run_uuid = {ONE} AND step > 3",),
        "delete a run": (
            *(
                f"DELETE FROM {each} WHERE run_uuid = {ONE}"
                for each in ("metrics", "latest_metrics", "params", "tags")
            ),
            "DELETE FROM runs WHERE name = 'one'",
        ),
        "back-date a run": ("UPDATE runs SET start_time = 915148800000 WHERE name = 'one'",),
        "replace the spec under an id": (
            f"UPDATE params SET value = 'title eno' WHERE run_uuid = {ONE}",
        ),
    }.items()
}
TRACKIO = FILES | {
    name: sql("study.db", *statements)
    for name, statements in {
        "edit the newest value in the database": (
            """UPDATE metrics SET metrics = '{"fid":0.125}' WHERE run_name = 'one' AND step = 6""",
        ),
        "edit a record": (
            """UPDATE metrics SET metrics = '{"fid":0.125}' WHERE run_name = 'one' AND step = 2""",
        ),
        "delete a record": ("DELETE FROM metrics WHERE run_name = 'one' AND step = 2",),
        "duplicate a record": (
            "INSERT INTO metrics SELECT 1000, run_id, timestamp, run_name, step, metrics, log_id,"
            " space_id FROM metrics WHERE run_name = 'one' AND step = 2",
        ),
        "reorder two records": (
            "UPDATE metrics SET step = 5 - step WHERE run_name = 'one' AND step IN (2, 3)",
        ),
        "cut the end off": ("DELETE FROM metrics WHERE run_name = 'one' AND step > 3",),
        "delete a run": (
            "DELETE FROM metrics WHERE run_name = 'one'",
            "DELETE FROM configs WHERE run_name = 'one'",
            "DELETE FROM run_artifact_links WHERE run_name = 'one'",
        ),
        "back-date a run": (
            "UPDATE metrics SET timestamp = replace(timestamp, substr(timestamp, 1, 4), '1999')"
            " WHERE run_name = 'one'",
            "UPDATE configs SET created_at = replace(created_at, substr(created_at, 1, 4), '1999'),"
            " config = replace(config, substr(created_at, 1, 4), '1999') WHERE run_name = 'one'",
        ),
        "replace the spec under an id": (
            "UPDATE configs SET config = replace(config, 'title one', 'title eno')"
            " WHERE run_name = 'one'",
        ),
    }.items()
}


def main() -> None:
    """Run everything and write the section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mlflow", type=Path, required=True, help="Python with MLflow")
    parser.add_argument("--trackio", type=Path, required=True, help="Python with trackio")
    arguments = parser.parse_args()
    ours, cpu_s, num_tests = own_suite()
    peers = (
        Peer(name="mlflow", python=arguments.mlflow, script="mlflow_runs.py", attacks=MLFLOW),
        Peer(name="trackio", python=arguments.trackio, script="trackio_runs.py", attacks=TRACKIO),
    )
    answers = [ours, *(attacked(peer) for peer in peers)]
    heads = ["attack", "repro", *(f"{peer.name} {peer.version()}" for peer in peers)]
    rows = [[name, *(answer[name] for answer in answers)] for name in ATTACKS]
    caught = [sum(not each.startswith("no") for each in answer.values()) for answer in answers]
    rows.append(["**detected**", *(f"**{each} of {len(ATTACKS)}**" for each in caught)])
    write_section(
        HEADING,
        NOTE.format(table=table(heads, rows), num_tests=num_tests, cpu_s=cpu_s, suite=SUITE),
    )


def own_suite() -> tuple[dict[str, str], float, int]:
    """Which attacks our own tests hold, with the slow ones; their CPU seconds, and how many."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = ["pytest", SUITE, "-q", "-m", "slow or not slow", f"--junitxml={report}"]
        subprocess.run([sys.executable, "-m", *command], check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cases = [each.get("name", "") for each in ElementTree.parse(report).iter("testcase")]
    held = {
        name: "yes" if any(test in case for case in cases) else "no test"
        for name, test in ATTACKS.items()
    }
    return held, used.ru_utime + used.ru_stime, len(cases)


def attacked(peer: Peer) -> dict[str, str]:
    """What came of each attack on a tracker."""
    with tempfile.TemporaryDirectory() as place:
        folder, whole, yesterday = (Path(place) / each for each in ("runs", "whole", "yesterday"))
        folder.mkdir()
        require(peer.call("make", folder))
        shutil.copytree(folder, yesterday)
        require(peer.call("add", folder, "two"))  # it is another day
        shutil.copytree(folder, whole)
        before = facts(peer, folder)
        roll_back = {"roll the folder back to yesterday's copy": restored_from(yesterday)}
        found = {}
        for name in ATTACKS:
            restored_from(whole)(folder)
            attack = (peer.attacks | roll_back).get(name)
            found[name] = outcome(peer, folder, attack, before)
            print(f"{peer.name}: {name}: {found[name]}", file=sys.stderr)
        return found


def outcome(peer: Peer, folder: Path, attack: Callable[[Path], None] | None, before: str) -> str:
    """Whether an attack was refused, is told when everything is read again, or goes unseen."""
    if attack is None:
        refused = peer.call("add", folder, "one")
        if refused.returncode:
            return f"refused: {last_line(refused.stderr)}"
    else:
        try:
            attack(folder)
        except sqlite3.IntegrityError as error:
            return f"refused: {str(error).partition(':')[0]}"
    read = peer.call("read", folder)
    if read.returncode:
        return f"reading fails: {last_line(read.stderr)}"
    if read.stdout == before:
        raise SystemExit(f"{peer.name}: the attack changed nothing that is read")
    warning = re.search(r"^.*\bwarn(ing)?\b.*$", read.stderr, re.IGNORECASE | re.MULTILINE)
    return f"warns: {warning[0]}" if warning else "no"


def facts(peer: Peer, folder: Path) -> str:
    """Everything that a tracker tells when nothing is wrong, which it must do without a warning."""
    first, again = (require(peer.call("read", folder)) for _ in range(2))
    if json.loads(first) != json.loads(again):
        raise SystemExit(f"{peer.name}: two readings differ")
    return first


def restored_from(copy: Path) -> Callable[[Path], None]:
    """The whole folder as it was when it was copied."""

    def restore(folder: Path) -> None:
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)

    return restore


def require(done: "subprocess.CompletedProcess[str]") -> str:
    """The output of a script that must not fail."""
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2][:80]


if __name__ == "__main__":
    main()
