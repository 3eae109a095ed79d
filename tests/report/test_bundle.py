"""Runs in a folder: what comes along, what stays behind and says so, what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from repro import digest
from repro.errors import IntegrityError, LedgerError
from repro.ledger import segment, store, verify
from repro.ledger.records import Start, Tombstone, Verdict
from tests.ledger import ledgers
from tests.report import bundles


@pytest.fixture
def root(tmp_path):
    return tmp_path / "ledger"


def names_in(made):
    """The executions in a bundle."""
    return {path.stem for path in made.folder.glob("ledger/segments/*")}


def left_out(made):
    """What a bundle says of artifacts that it does not hold."""
    return json.loads((made.folder / "bundle.json").read_bytes())["left_out"]


def graph(made):
    """The entities of a bundle's description, by id."""
    crate = json.loads((made.folder / "ro-crate-metadata.json").read_bytes())
    return {each["@id"]: each for each in crate["@graph"]}


def test_a_reader_needs_nothing_but_python(root):
    """The verifier in the bundle says `verified` without site packages or environment."""
    made = bundles.make(root, ledgers.execute(root))
    command = [sys.executable, "-I", "-S", str(made.folder / "verify_bundle.py")]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "verified\n")
    assert f"digest {made.digest}\nhead {made.head}\n" in done.stdout


def test_the_ledger_in_a_bundle_is_a_ledger(root):
    """The program itself finds nothing wrong with it."""
    made = bundles.make(root, ledgers.execute(root))

    assert verify(made.folder / "ledger") == []


def test_what_an_execution_reused_comes_along(root):
    """The execution that did the work is there, with its artifacts; another run is not."""
    earlier = ledgers.execute(root)
    ledgers.execute(root, "two")
    later = ledgers.reuse(root, earlier)

    made = bundles.make(root, later)

    assert names_in(made) == {earlier, later}
    assert left_out(made) == {}


def test_a_stage_that_was_not_used_leaves_its_artifacts_behind(root):
    """Of an execution that comes along for its training, the samples stay; the bundle says why."""
    earlier = ledgers.execute(root)
    later = ledgers.reuse(root, earlier, plan=ledgers.PLAN[:1])

    made = bundles.make(root, later)

    (reason,) = left_out(made).values()
    assert reason == "of a stage that these runs do not use"
    assert bundles.findings(made.folder) == []


def test_what_nobody_used_need_not_be_there(root):
    """An execution that comes along for one stage had another whose input is of a third."""
    plan = (*ledgers.PLAN, {"stage_id": "c" * 32, "kind": "sample", "name": "c", "inputs": []})
    first = ledgers.execute(root)
    with segment.begin(root, evolve(ledgers.start(), stages=plan)) as second:
        reused = ledgers.event(ledgers.TRAIN, "reused")
        second.append(evolve(reused, facts={"execution_id": first}))
        second.append(ledgers.event(ledgers.EVALUATE, "done"))
        second.append(evolve(ledgers.event(ledgers.TRAIN, "done"), stage_id="c" * 32))
    third = ledgers.reuse(root, second.execution_id, plan=plan[2:])

    made = bundles.make(root, third)

    assert names_in(made) == {second.execution_id, third}


def test_what_a_killed_writer_left_is_no_part_of_a_bundle(root):
    """The next one begins anew."""
    (root.parent / ".bundle.part").mkdir()
    (root.parent / ".bundle.part" / "half").touch()

    made = bundles.make(root, ledgers.execute(root))

    assert not (made.folder / "half").exists()


def test_a_run_comes_with_all_its_executions(root):
    """Also those that failed: they are part of what was tried."""
    first, second = ledgers.execute(root), ledgers.execute(root)
    run_id = str(ledgers.start().run_id)

    made = bundles.make(root, run_id[:8])

    assert names_in(made) == {first, second}


def test_the_verdict_on_a_run_comes_along(root):
    """A report that admitted its number is there, one on another run is not."""
    measured, other = ledgers.execute(root), ledgers.execute(root, "two")
    reports = {}
    for execution_id in (measured, other):
        admitted = ({"side": "a", "execution_id": execution_id, "seq": 9},)
        with segment.begin(root, Start(purpose="report", study="toy")) as report:
            report.append(
                Verdict(
                    study="toy",
                    name="claim",
                    claim_digest="c" * 32,
                    verdict="supported",
                    admitted=admitted,
                )
            )
        reports[execution_id] = report.execution_id

    made = bundles.make(root, measured)

    assert names_in(made) == {measured, reports[measured]}


def test_a_removed_artifact_is_left_out_with_its_tombstone(root):
    """What garbage collection removed is no hole: the bundle says why, and holds the record."""
    execution_id = ledgers.execute(root)
    sha256 = store.put_bytes(root, b"images").sha256
    with segment.begin(root, Start(purpose="gc")) as collection:
        collection.append(Tombstone(sha256=sha256, size_bytes=6, reason="nobody needs it"))
    store.path_of(root, sha256).unlink()

    made = bundles.make(root, execution_id)

    assert left_out(made) == {sha256: "removed: nobody needs it"}
    assert collection.execution_id in names_in(made)
    assert bundles.findings(made.folder) == []


def test_a_lost_artifact_is_refused(root):
    """What is gone without a tombstone cannot be proved, so there is no bundle."""
    execution_id = ledgers.execute(root)
    store.path_of(root, store.put_bytes(root, b"images").sha256).unlink()

    with pytest.raises(IntegrityError, match="artifact is missing"):
        bundles.make(root, execution_id)

    assert not root.with_name("bundle").exists()


def test_a_changed_artifact_is_refused(root):
    """A bundle is checked as its reader would, before it gets its name."""
    execution_id = ledgers.execute(root)
    path = store.path_of(root, store.put_bytes(root, b"images").sha256)
    path.chmod(0o644)
    path.write_bytes(b"Images")

    with pytest.raises(IntegrityError, match="is not what was stored"):
        bundles.make(root, execution_id)

    assert list(root.parent.iterdir()) == [root]


def test_a_broken_segment_is_refused(root):
    """The record is named."""
    execution_id = ledgers.execute(root)
    path = ledgers.path_of(root, execution_id)
    path.write_bytes(path.read_bytes().replace(b"12.5", b"11.5"))

    with pytest.raises(IntegrityError, match="was edited"):
        bundles.make(root, execution_id)


def test_a_role_can_be_left_out(root):
    """Large files can stay behind; the bundle says that nobody asked for them."""
    made = bundles.make(root, ledgers.execute(root), leave_out=["weights"])

    assert list(left_out(made).values()) == ["weights was not asked for"]
    assert bundles.findings(made.folder) == []


@pytest.mark.parametrize("role", ["patch", "untracked", "source"])
def test_code_with_a_secret_in_it_is_refused(root, monkeypatch, role):
    """What a secret variable holds is looked for; the file can stay behind."""
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    with segment.begin(root, ledgers.start()) as execution:
        code = b"+key = 'correct-horse-battery'\n"
        execution.append(ledgers.artifact(root, code, role=role))

    with pytest.raises(LedgerError, match=f"--leave-out {role}"):
        bundles.make(root, execution.execution_id)

    assert bundles.make(root, execution.execution_id, leave_out=[role])


def test_a_record_with_a_secret_in_it_is_refused(root, monkeypatch):
    """It was recorded when nobody knew that it was one; nothing is written."""
    with segment.begin(root, ledgers.start("correct-horse-battery")) as execution:
        pass
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")

    with pytest.raises(LedgerError, match="cannot be given away"):
        bundles.make(root, execution.execution_id)

    assert list(root.parent.iterdir()) == [root]


def test_an_unknown_role_is_refused(root):
    """A mistyped role would leave nothing out; the known ones are listed."""
    execution_id = ledgers.execute(root)

    with pytest.raises(LedgerError, match="expected one of: samples, weights"):
        bundles.make(root, execution_id, leave_out=["weight"])


def test_a_folder_that_is_there_is_refused(root):
    """A bundle is never written over another."""
    execution_id = ledgers.execute(root)
    bundles.make(root, execution_id)

    with pytest.raises(LedgerError, match="already there"):
        bundles.make(root, execution_id)


def test_equal_runs_give_equal_bundles(root):
    """Nothing of the machine or the moment gets in but the day."""
    execution_id = ledgers.execute(root)
    first = bundles.make(root, execution_id)
    first.folder.rename(root.with_name("first"))

    assert bundles.make(root, execution_id).digest == first.digest


def test_an_open_execution_comes_as_far_as_it_goes(root):
    """What is recorded after the bundle contradicts nothing in it."""
    with segment.begin(root, ledgers.start()) as execution:
        execution.append(ledgers.event(ledgers.TRAIN, "started"))
        made = bundles.make(root, execution.execution_id)

    assert bundles.findings(made.folder) == []
    (action,) = actions(made)
    assert "endTime" not in action


def actions(made):
    """What the executions of a bundle did."""
    return [each for each in graph(made).values() if each["@type"] == "CreateAction"]


def test_every_stage_is_an_action(root):
    """A stage has a start, an end, and what it read and left."""
    earlier = ledgers.execute(root)

    made = bundles.make(root, ledgers.reuse(root, earlier))

    train, evaluate = actions(made)
    weights = store.path_of(Path("ledger"), digest.sha256(b"one")).as_posix()
    assert train["result"][0] == {"@id": weights}
    assert {"@id": weights} in evaluate["object"]
    assert evaluate["startTime"] <= evaluate["endTime"]
    assert train["actionStatus"] == "http://schema.org/CompletedActionStatus"


def test_a_failed_stage_is_a_failed_action(root):
    """The action says what the seal says."""
    execution = segment.begin(root, ledgers.start())
    execution.append(ledgers.event(ledgers.TRAIN, "started"))
    execution.append(ledgers.event(ledgers.TRAIN, "failed"))
    execution.seal("failed", "no memory left")

    (action,) = actions(bundles.make(root, execution.execution_id))

    assert action["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert action["error"] == "no memory left"


def test_a_measured_number_is_in_the_description(root):
    """A reader of the crate finds the value without reading the segments."""
    made = bundles.make(root, ledgers.execute(root, value=12.5))

    (number,) = [each for each in graph(made).values() if each.get("propertyID") == "fid"]
    assert number["value"] == "12.5"


def test_the_description_is_closed(root):
    """Every entity that is referred to is described, and every file is a part."""
    made = bundles.make(root, ledgers.reuse(root, ledgers.execute(root)))
    entities = graph(made)

    referred = {each["@id"] for entity in entities.values() for each in _references(entity)}
    paths = {
        path.relative_to(made.folder).as_posix()
        for path in made.folder.rglob("*")
        if path.is_file()
    }

    assert referred - entities.keys() == {"https://w3id.org/ro/crate/1.1"}
    assert paths - {"SHA256SUMS", "ro-crate-metadata.json"} == {
        each["@id"] for each in entities["./"]["hasPart"]
    }


def _references(entity):
    values = [each if isinstance(each, list) else [each] for each in entity.values()]
    return [one for each in values for one in each if isinstance(one, dict)]
