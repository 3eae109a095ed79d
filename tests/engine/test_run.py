"""One command from a spec to a ledger, interrupted or not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repro.engine.run import run
from repro.errors import ResourceError, RunError
from repro.ledger import history, query, verify
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
    run(spec, **places)

    (again,) = run(spec, **places)

    assert not again.computed
    assert len(history.executions(places["root"])) == 1


def test_a_longer_training_shares_only_the_data(tmp_path, places):
    """A changed field moves the stages that rest on it, and no others."""
    spec = tiny.write(tmp_path)
    run(spec, **places)

    run(spec, overrides=["train.steps=13"], **places)

    table = query(
        places["root"], "select stage_kind from stage_events where event = 'reused' order by all"
    )
    assert table.rows == (("prepare",),)


def test_every_run_is_on_record_before_it_computes(tmp_path, places):
    """A run whose first stage fails is in the ledger, sealed as failed."""
    spec = tiny.write(tmp_path, tiny.DENOISE.replace("lr = 1e-3", "lr = 1e30"))

    with pytest.raises(RunError, match="finite"):
        run(spec, **places)

    (execution,) = history.executions(places["root"])
    assert execution.status == "failed"


def test_missing_inputs_stop_the_run_before_any_work(tmp_path, places):
    """A folder that is not there is named, and nothing is recorded."""
    zeros = "0" * 64
    folder = f'kind = "image-folder"\npath = "nowhere"\ndigest = "sha256:{zeros}"'
    spec = tiny.write(tmp_path, tiny.DENOISE.replace('kind = "digits"', folder))

    with pytest.raises(ResourceError, match="nowhere"):
        run(spec, **places)

    assert not places["root"].exists()


@pytest.mark.parametrize("lines", [12, 24, 31])
def test_a_killed_run_ends_in_the_same_weights(tmp_path, places, lines):
    """However far it got, the same command ends in the same bits, and the ledger verifies."""
    spec = tiny.write(tmp_path)
    killed = {name: tmp_path / "killed" / name for name in places}
    run(spec, **places)

    kill_after(lines, spec, **killed)
    run(spec, **killed)

    assert final_weights(killed["root"]) == final_weights(places["root"])


@pytest.mark.slow
def test_ten_kills_at_random_moments_leave_no_trace_in_the_weights(tmp_path, places):
    """However often a run is killed, the weights are those of one that was not."""
    spec = tiny.write(tmp_path, tiny.DENOISE.replace("steps = 12", "steps = 60"))
    killed = {name: tmp_path / "killed" / name for name in places}
    run(spec, **places)

    for number in range(10):
        process = start(spec, **killed)
        time.sleep(1.5 + 0.37 * (number * 7 % 10))
        process.send_signal(signal.SIGKILL)
        process.wait()
    run(spec, **killed)

    assert final_weights(killed["root"]) == final_weights(places["root"])


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
    process.wait()


def test_the_outcome_is_plain_data(tmp_path, places):
    """What --json prints survives JSON."""
    (outcome,) = run(tiny.write(tmp_path), **places)

    assert json.loads(json.dumps(outcome.facts))["run_id"] == outcome.run_id
