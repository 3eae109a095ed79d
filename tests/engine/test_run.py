"""One command from a spec to a ledger, interrupted or not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import asdict

from repro.engine.resources.tensors import tensors_digest, write_tensors
from repro.engine.run import run
from repro.errors import ResourceError
from repro.ledger import history, query, store, verify
from tests.engine import tiny


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


@pytest.mark.parametrize("lines", [12, 24, 31])
def test_a_killed_run_ends_in_the_same_weights(tmp_path, places, lines):
    """However far it got, the same command ends in the same bits, and the ledger verifies."""
    spec = tiny.write(tmp_path)
    killed = {name: tmp_path / "killed" / name for name in places}
    run([spec], **places)

    kill_after(lines, spec, **killed)
    run([spec], **killed)

    assert final_weights(killed["root"]) == final_weights(places["root"])


@pytest.mark.slow
@pytest.mark.parametrize("text", [tiny.DENOISE, tiny.DRIFT], ids=["denoise", "drift"])
@pytest.mark.parametrize("seed", range(10))
def test_a_run_killed_at_a_random_moment_ends_in_the_same_weights(tmp_path, places, seed, text):
    """Both families, ten moments from the first record to the last."""
    spec = tiny.write(tmp_path, text)
    killed = {name: tmp_path / "killed" / name for name in places}
    run([spec], **places)
    (segment,) = (places["root"] / "segments").glob("*.jsonl")
    num_records = segment.read_bytes().count(b"\n")

    kill_after(random.Random(seed).randrange(2, num_records - 2), spec, **killed)
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


def start(spec: Path, *, root: Path, cache: Path) -> subprocess.Popen[bytes]:
    places = ["--ledger", str(root), "--cache", str(cache)]
    command = [sys.executable, "-m", "repro", *places, "run", str(spec)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)


def kill_after(lines: int, spec: Path, *, root: Path, cache: Path) -> None:
    """Run in another process and kill it once its segment has so many lines."""
    process = start(spec, root=root, cache=cache)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        written = [path.read_bytes().count(b"\n") for path in root.glob("segments/*.jsonl")]
        if sum(written) >= lines:
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)

    assert process.wait() == -signal.SIGKILL


def test_the_outcome_is_plain_data(tmp_path, places):
    """What --json prints survives JSON."""
    (outcome,) = run([tiny.write(tmp_path)], **places)

    assert json.loads(json.dumps(asdict(outcome)))["run_id"] == outcome.run_id
