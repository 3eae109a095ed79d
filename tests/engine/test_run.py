"""One command from a spec to a ledger, interrupted or not."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import asdict

from repro.engine.plan import lease_key, plan
from repro.engine.progress import Silent
from repro.engine.resources.tensors import tensors_digest, write_tensors
from repro.engine.run import run
from repro.errors import LedgerError, ResourceError
from repro.ledger import history, query, store, verify
from repro.ledger.lease import LEASE_S, lease
from repro.spec import load, stages
from tests.engine import tiny

PATIENCE_S = 300.0
"""For another process; what takes longer fails."""


@pytest.fixture
def places(tmp_path):
    return {"root": tmp_path / "ledger", "cache": tmp_path / "cache"}


def final_weights(root: Path) -> str:
    """The digest of the last weights in the ledger, which must verify."""
    assert verify(root) == []
    rows = query(root, "select weights from checkpoints order by step desc limit 1").rows
    return str(rows[0][0])


def test_a_second_run_of_a_finished_spec_starts_no_execution(tmp_path, places):
    """What the ledger holds is not done again, nor said again."""
    spec = tiny.write(tmp_path)
    run([spec], **places)

    (again,) = run([spec], **places)

    assert again.status == "done before"
    assert len(history.executions(places["root"])) == 1


def test_a_run_is_done_though_it_cannot_be_folded(tmp_path, places, monkeypatch):
    """A disk that is full at the fold is a warning: the run is on record, and the next one goes."""

    def full(root: Path) -> None:
        raise LedgerError(f"{root}: No space left on device")

    monkeypatch.setattr("repro.engine.run.fold", full)
    heard: list[str] = []

    class Ear(Silent):
        def notify(self, text: str) -> None:
            heard.append(text)

    (outcome,) = run([tiny.write(tmp_path)], progress=Ear(), **places)

    assert outcome.status == "done"
    assert "not in the database yet: " in heard[-1]


def test_a_longer_training_shares_only_the_data(tmp_path, places):
    """A changed field moves the stages that rest on it, and no others."""
    spec = tiny.write(tmp_path)
    run([spec], **places)

    run([spec], overrides=["train.steps=13"], **places)

    table = query(
        places["root"], "select stage_kind from stage_events where event = 'reused' order by all"
    )
    assert table.rows == (("prepare",),)


def test_every_run_is_on_record_before_it_computes(tmp_path, places):
    """A run whose first stage fails is in the ledger, sealed as failed."""
    spec = tiny.write(tmp_path, tiny.DENOISE.replace("lr = 1e-3", "lr = 1e30"))

    (outcome,) = run([spec], **places)

    assert "finite" in outcome.problems[0]
    (execution,) = history.executions(places["root"])
    assert execution.status == "failed"


def test_missing_inputs_stop_the_run_before_any_work(tmp_path, places):
    """A folder that is not there is named, and nothing is recorded."""
    zeros = "0" * 64
    folder = f'kind = "image-folder"\npath = "nowhere"\ndigest = "sha256:{zeros}"'
    spec = tiny.write(tmp_path, tiny.DENOISE.replace('kind = "digits"', folder))

    with pytest.raises(ResourceError, match="nowhere"):
        run([spec], **places)

    assert not places["root"].exists()


@pytest.mark.parametrize("missing", [13, 8, 4])
def test_a_killed_run_ends_in_the_same_weights(tmp_path, places, missing):
    """However far it got, the same command ends in the same bits, and the ledger verifies."""
    spec = tiny.write(tmp_path)
    killed = {name: tmp_path / "killed" / name for name in places}
    run([spec], **places)

    kill_after(num_records(places["root"]) - missing, spec, **killed)
    run([spec], **killed)

    assert final_weights(killed["root"]) == final_weights(places["root"])


def test_a_killed_run_ends_with_the_same_queue(tmp_path, places):
    """Banks that were half full when it died, and the pass over the data, go on as they were."""
    spec = tiny.write(tmp_path, tiny.QUEUED)
    killed = {name: tmp_path / "killed" / name for name in places}
    run([spec], **places)
    last = "select weights, state from checkpoints order by step desc limit 1"
    eighth = query(places["root"], "select seq from checkpoints where step = 8").rows[0][0]
    told = query(places["root"], f"select count(DISTINCT seq) from progress where seq < {eighth}")

    kill_after(eighth + 1 - told.rows[0][0], spec, **killed)
    run([spec], **killed)

    assert query(killed["root"], last).rows == query(places["root"], last).rows
    resumed = query(killed["root"], "select count(*) from checkpoints where step = 8").rows
    assert resumed == ((2,),)  # said by the first execution, and again by the one that took it up


def test_underflow_is_on_record(tmp_path, places):
    """Every update tells how many draws repeated a real because a bank held too few."""
    run([tiny.write(tmp_path, tiny.QUEUED)], **places)

    told = query(
        places["root"],
        "select step, value from progress where name = 'underflow/class' order by step",
    ).rows
    assert [step for step, _ in told] == list(range(1, 13))
    assert told[0][1] == 2.0


class Notes(Silent):
    """Keeps what is shown beside the progress of a stage."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = {}

    @contextmanager
    def track(self, label, total):
        """Watch one stage."""
        yield lambda amount, note="": self.of.setdefault(label, []).append(note)


def test_a_drift_shows_its_energies(tmp_path, places):
    """At every temperature the mean over all keys, as on record; the loss, flat by design, not."""
    notes = Notes()
    run([tiny.write(tmp_path, tiny.DRIFT)], progress=notes, **places)

    rows = query(
        places["root"],
        "select split_part(name, '/', 3) as temperature, avg(value), count(*) from progress"
        " where name like 'energy/%' and step = 12 group by temperature order by temperature",
    ).rows
    shown = "  ".join(f"energy/{at} {energy:.3g}" for at, energy, _ in rows)
    assert [(at, num) for at, _, num in rows] == [(at, 8) for at in ("0.02", "0.05", "0.2")]
    assert notes.of["drifting"][-1] == shown


def test_a_drift_that_repeats_reals_shows_it(tmp_path, places):
    """Banks that start empty hold too few at first; once they do not, nothing is said."""
    notes = Notes()
    run([tiny.write(tmp_path, tiny.QUEUED)], progress=notes, **places)

    assert "underflow" in notes.of["drifting"][0]


@pytest.mark.slow
@pytest.mark.parametrize("text", [tiny.DENOISE, tiny.DRIFT], ids=["denoise", "drift"])
@pytest.mark.parametrize("seed", range(10))
def test_a_run_killed_at_a_random_moment_ends_in_the_same_weights(tmp_path, places, seed, text):
    """Both families, ten moments from the first record to the last."""
    spec = tiny.write(tmp_path, text)
    killed = {name: tmp_path / "killed" / name for name in places}
    run([spec], **places)
    last = num_records(places["root"]) - 2

    kill_after(random.Random(seed).randrange(2, last), spec, **killed)
    run([spec], **killed)

    assert final_weights(killed["root"]) == final_weights(places["root"])


def test_a_lost_checkpoint_is_made_again(tmp_path, places):
    """A file that is gone makes its stage open; the training goes on from the last one before."""
    spec = tiny.write(tmp_path)
    run([spec], **places)
    rows = query(places["root"], "select step, weights from checkpoints order by step").rows
    store.locate(places["root"], rows[1][1]).unlink()

    run([spec], **places)

    again = query(places["root"], "select step, weights from checkpoints order by step").rows
    assert set(again) == set(rows)
    assert store.check(places["root"], rows[1][1])


@pytest.mark.parametrize(("num_threads", "deviations"), [(1, 0), (2, 1)])
def test_a_training_resumed_elsewhere_says_so(
    tmp_path, places, monkeypatch, num_threads, deviations
):
    """Another number of threads may round otherwise: a claim must know."""
    spec = tiny.write(tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    run([spec], **places)
    rows = query(places["root"], "select weights from checkpoints order by step").rows
    store.locate(places["root"], rows[-1][0]).unlink()

    monkeypatch.setattr(torch, "get_num_threads", lambda: num_threads)
    run([spec], **places)

    told = query(places["root"], "select facts from decisions where topic = 'deviation'").rows
    facts = [json.loads(each) for (each,) in told]
    changes = [
        (each["name"], each["then"]["num_threads"], each["now"]["num_threads"]) for each in facts
    ]
    assert changes == [("resumed-elsewhere", 1, 2)] * deviations


def test_a_rehearsal_is_no_run(tmp_path, places):
    """What a rehearsal did is done again for real."""
    spec = tiny.write(tmp_path, tiny.DENOISE.replace("digits", "stand-in"))
    run([spec], rehearse=True, **places)

    (outcome,) = run([spec], **places)

    assert outcome.status == "done"
    rows = query(places["root"], "select 1 from stage_events where event = 'reused'").rows
    assert rows == ()


def test_one_failing_run_does_not_keep_another_from_running(tmp_path, places):
    """A sweep ends with the outcome of each of its runs."""
    sweep = "\n[sweep]\n'train.lr' = [1e30, 1e-3]\n"
    spec = tiny.write(tmp_path, tiny.DENOISE + sweep)

    outcomes = run([spec], **places)

    assert [outcome.status for outcome in outcomes] == ["failed", "done"]


def test_training_needs_its_data_although_the_data_were_prepared_before(tmp_path, places):
    """A plan is blocked when a file that training reads is gone, whatever the ledger holds."""
    path = tmp_path / "images.safetensors"
    images = np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8, 1)
    write_tensors({"images": images}, path, metadata={})
    digest = tensors_digest({"images": images, "labels": np.zeros(20, np.int64)})
    folder = f'kind = "tensor-file"\npath = "{path}"\ndigest = "{digest}"'
    spec = tiny.write(tmp_path, tiny.DENOISE.replace('kind = "digits"', folder))
    run([spec], **places)
    path.unlink()

    with pytest.raises(ResourceError, match=r"images\.safetensors"):
        run([spec], overrides=["train.seed=2"], **places)


@contextmanager
def started(spec: Path, *, root: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """Run in another process, which ends with the block at the latest."""
    places = ["--ledger", str(root), "--cache", str(cache)]
    command = [sys.executable, "-m", "repro", *places, "run", str(spec)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            yield process
        finally:
            process.kill()


def num_records(root: Path) -> int:
    """How many records there are; of progress there may be few or many."""
    texts = [path.read_bytes() for path in root.glob("segments/*.jsonl")]
    return sum(text.count(b"\n") - text.count(b'"kind":"progress"') for text in texts)


def signal_after(
    records: int, process: subprocess.Popen[str], root: Path, *, sent: signal.Signals
) -> None:
    """Send a signal once the ledger has so many records."""
    deadline = time.monotonic() + PATIENCE_S
    while num_records(root) < records and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(sent)


def kill_after(records: int, spec: Path, *, root: Path, cache: Path) -> None:
    """Run in another process and kill it once its segment has so many records."""
    with started(spec, root=root, cache=cache) as process:
        signal_after(records, process, root, sent=signal.SIGKILL)

    assert process.returncode == -signal.SIGKILL


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read what a process says until it says this."""
    assert process.stderr
    patience = threading.Timer(PATIENCE_S, process.kill)
    patience.start()
    said = any(text in line for line in process.stderr)
    patience.cancel()

    assert said, f"never said: {text}"


def events(root: Path) -> Counter[tuple[str, str]]:
    """How often each thing happened to each kind of stage."""
    rows = query(root, "select stage_kind, event from stage_events").rows
    return Counter((str(kind), str(event)) for kind, event in rows)


def stage_ids(spec: Path) -> dict[str, str]:
    """The stages of a spec by kind."""
    (loaded,) = load(spec)
    return {stage.kind: stage.stage_id for stage in stages(loaded)}


def test_of_two_commands_at_once_one_computes_each_stage(tmp_path, places):
    """Both end well, both know the result, and nothing was computed twice."""
    spec = tiny.write(tmp_path)
    first = lease_key(stage_ids(spec)["prepare"], rehearsal=False)

    with started(spec, **places) as one, started(spec, **places) as other:
        with lease(places["root"], first, execution_id="0", wait_s=0):
            for process in (one, other):
                wait_for(process, "digits: execution 0 (process")
        for process in (one, other):
            process.communicate()

    assert (one.returncode, other.returncode) == (0, 0)
    assert events(places["root"]) == {
        (kind, event): 1 for kind in ("prepare", "train") for event in ("started", "done", "reused")
    }
    assert [each.status for each in history.executions(places["root"])] == ["done", "done"]
    assert final_weights(places["root"])


def test_a_waiting_command_goes_on_where_a_killed_one_stopped(tmp_path, places):
    """Whoever waits takes over at once, from the last checkpoint, and ends in the same bits."""
    spec = tiny.write(tmp_path)
    alone = {name: tmp_path / "alone" / name for name in places}
    run([spec], **alone)

    with started(spec, **places) as dying:
        signal_after(num_records(alone["root"]) - 8, dying, places["root"], sent=signal.SIGSTOP)
        with started(spec, **places) as waiting:
            wait_for(waiting, "computes it, waiting")
            dying.kill()
            waiting.communicate()

    assert waiting.returncode == 0
    assert {each.status for each in history.executions(places["root"])} == {"interrupted", "done"}
    assert final_weights(places["root"]) == final_weights(alone["root"])


def test_a_run_elsewhere_that_fell_silent_is_not_waited_for(tmp_path, places, monkeypatch):
    """A machine that died leaves its stages to the others."""
    spec = tiny.write(tmp_path)
    with monkeypatch.context() as elsewhere, ExitStack() as stack:
        elsewhere.setattr("platform.node", lambda: "elsewhere")
        for stage_id in stage_ids(spec).values():
            key = lease_key(stage_id, rehearsal=False)
            held = stack.enter_context(lease(places["root"], key, execution_id="theirs"))
            os.utime(held.path, (time.time() - LEASE_S - 10,) * 2)
        elsewhere.undo()

        (outcome,) = run([spec], **places)

    assert outcome.status == "done"


class Overtaken(Silent):
    """Lets another take a stage over while this process trains it."""

    def __init__(self, root: Path, key: str) -> None:
        self.root, self.key = root, key

    @contextmanager
    def track(self, label, total):
        """Be asleep while another takes the stage over, in the first step."""

        def advance(amount: int, note: str = "") -> None:
            folder = self.root / "leases" / self.key
            if label == "denoise" and not (folder / "2").exists():
                (folder / "2").write_bytes((folder / "1").read_bytes())

        yield advance


def test_who_was_overtaken_asleep_records_no_result(tmp_path, places):
    """It ends with one message; what it left so far is there for whoever goes on."""
    spec = tiny.write(tmp_path)
    key = lease_key(stage_ids(spec)["train"], rehearsal=False)

    (outcome,) = run([spec], progress=Overtaken(places["root"], key), **places)

    assert outcome.status == "failed"
    assert outcome.problems == (
        "denoise: overtaken: this execution gave no sign of life for 60 s, so another computes the"
        " stage; run again to go on from what that one leaves",
    )
    assert events(places["root"])["train", "done"] == 0
    os.utime(places["root"] / "leases" / key / "2", (0, 0))
    assert [each.status for each in run([spec], **places)] == ["done"]


def test_a_plan_says_who_computes_a_stage_now(tmp_path, places):
    """Before one starts a command that would wait."""
    spec = tiny.write(tmp_path)
    (loaded,) = load(spec)
    key = lease_key(stage_ids(spec)["train"], rehearsal=False)

    with lease(places["root"], key, execution_id="theirs"):
        now = plan(loaded, **places)
        rehearsed = plan(loaded, rehearsal=True, **places)

    assert now.stages[1].state == "to do"
    assert re.fullmatch(
        r"execution theirs \(process \d+ on .+\) computes it now", now.stages[1].why
    )
    assert rehearsed.stages[1].why == "not in the ledger"


def test_the_heart_of_an_execution_beats(tmp_path, places, monkeypatch):
    """A segment is touched while its execution computes, so that other machines see it live."""
    monkeypatch.setattr("repro.ledger.lease.LEASE_S", 0.06)
    touched = []

    class Watch(Silent):
        @contextmanager
        def track(self, label, total):
            (path,) = history.segment_paths(places["root"])
            os.utime(path, (1, 1))
            deadline = time.monotonic() + PATIENCE_S
            while path.stat().st_mtime == 1 and time.monotonic() < deadline:
                time.sleep(0.005)
            touched.append(path.stat().st_mtime > 1)
            yield lambda amount, note="": None

    run([tiny.write(tmp_path)], progress=Watch(), **places)

    assert touched
    assert all(touched)
    assert all(touched)


def test_the_outcome_is_plain_data(tmp_path, places):
    """What --json prints survives JSON."""
    (outcome,) = run([tiny.write(tmp_path)], **places)

    assert json.loads(json.dumps(asdict(outcome)))["run_id"] == outcome.run_id
