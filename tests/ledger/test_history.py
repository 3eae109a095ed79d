"""Reading segments without the database."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from repro import digest
from repro.errors import LedgerError
from repro.ledger import history, segment, store
from repro.ledger.chain import ChainError, parse, render
from repro.ledger.records import Artifact, Checkpoint, Decision
from tests.ledger.ledgers import (
    EVALUATE,
    PLAN,
    TRAIN,
    artifact,
    event,
    execute,
    lines_of,
    path_of,
    start,
)


def test_a_done_stage_brings_what_it_left(tmp_path):
    """A finished stage comes with its artifacts, checkpoints and measurements."""
    execution_id = execute(tmp_path)

    done = history.done_stages(tmp_path, [TRAIN, EVALUATE, "c" * 32])

    assert set(done) == {TRAIN, EVALUATE}
    assert {each.execution_id for each in done.values()} == {execution_id}
    assert [each.role for each in done[TRAIN].artifacts] == ["weights"]
    assert [each.step for each in done[TRAIN].checkpoints] == [3]
    assert [each.value for each in done[EVALUATE].measurements] == [12.5]


def test_the_newest_execution_of_a_stage_counts(tmp_path):
    """Of two executions that did equal work, the later one is used."""
    execute(tmp_path)
    later = execute(tmp_path)

    assert history.done_stages(tmp_path, [TRAIN])[TRAIN].execution_id == later


def test_a_stage_without_its_artifact_is_not_done(tmp_path):
    """A stage whose artifact is gone must be done again."""
    execute(tmp_path)
    (weights,) = history.done_stages(tmp_path, [TRAIN])[TRAIN].artifacts
    store.locate(tmp_path, weights.sha256).unlink()

    assert set(history.done_stages(tmp_path, [TRAIN, EVALUATE])) == {EVALUATE}
    assert history.saved_training(tmp_path, TRAIN) is None


def test_a_stage_of_an_interrupted_execution_counts(tmp_path):
    """What was recorded as done stays done when its execution died later."""
    execution = segment.begin(tmp_path, start())
    execution.append(event(TRAIN, "done"))
    execution.append(event(EVALUATE, "started"))

    assert set(history.done_stages(tmp_path, [TRAIN, EVALUATE])) == {TRAIN}


def test_nothing_is_reused_from_a_broken_segment(tmp_path):
    """A stage in a segment that was edited is not done."""
    execution_id = execute(tmp_path)
    path = path_of(tmp_path, execution_id)
    path.write_bytes(path.read_bytes().replace(b'"started"', b'"stopped"'))

    assert history.done_stages(tmp_path, [TRAIN]) == {}
    assert history.saved_training(tmp_path, TRAIN) is None


def trained(root: Path, *steps: int, by: str, purpose: str = "run") -> str:
    """An execution that was killed after these checkpoints; its id."""
    execution = segment.begin(root, start(purpose=purpose))
    for step in steps:
        weights, state = (artifact(root, f"{by} {what} {step}".encode()) for what in "ws")
        execution.append(
            Checkpoint(stage_id=TRAIN, step=step, weights=weights.sha256, state=state.sha256)
        )
    return execution.execution_id


def test_trainings_are_never_mixed(tmp_path):
    """A training goes on from the execution that came furthest, with its checkpoints alone."""
    furthest = trained(tmp_path, 10, 20, 30, by="first")
    trained(tmp_path, 10, 20, by="second")

    saved = history.saved_training(tmp_path, TRAIN)

    assert saved
    assert saved.execution_id == furthest
    assert [each.step for each in saved.checkpoints] == [10, 20, 30]
    assert store.check(tmp_path, saved.checkpoints[0].weights).read_bytes() == b"first w 10"


def test_of_equal_trainings_the_newest_counts(tmp_path):
    """Two executions that came equally far: the later one is continued."""
    trained(tmp_path, 10, by="first")
    newest = trained(tmp_path, 10, by="second")

    saved = history.saved_training(tmp_path, TRAIN)

    assert saved
    assert saved.execution_id == newest


@pytest.mark.parametrize("what", "ws")
def test_a_training_is_intact_up_to_the_first_missing_file(tmp_path, what):
    """A lost file ends the checkpoints that count; an older intact training then comes first."""
    older = trained(tmp_path, 10, 20, by="older")
    damaged = trained(tmp_path, 10, 20, 30, by="damaged")
    store.path_of(tmp_path, digest.sha256(f"damaged {what} 20".encode())).unlink()

    saved = history.saved_training(tmp_path, TRAIN)

    assert saved
    assert (saved.execution_id, len(saved.checkpoints)) == (older, 2)
    store.path_of(tmp_path, digest.sha256(b"older s 10")).unlink()
    saved = history.saved_training(tmp_path, TRAIN)
    assert saved
    assert (saved.execution_id, [each.step for each in saved.checkpoints]) == (damaged, [10])


def test_rehearsals_and_runs_share_nothing(tmp_path):
    """A run reuses no rehearsal's stage or checkpoint, and a rehearsal no run's."""
    rehearsed = trained(tmp_path, 10, 20, by="rehearsal", purpose="rehearsal")
    ran = trained(tmp_path, 10, by="run")
    for purpose, stage_id in (("rehearsal", TRAIN), ("run", EVALUATE)):
        with segment.begin(tmp_path, start(purpose=purpose)) as execution:
            execution.append(event(stage_id, "done"))

    for rehearsal, execution_id, stage_id in ((True, rehearsed, TRAIN), (False, ran, EVALUATE)):
        saved = history.saved_training(tmp_path, TRAIN, rehearsal=rehearsal)
        assert saved
        assert saved.execution_id == execution_id
        done = history.done_stages(tmp_path, [TRAIN, EVALUATE], rehearsal=rehearsal)
        assert set(done) == {stage_id}


def test_broken_segments_are_told(tmp_path):
    """A broken segment that names a stage is told with what broke it; others are not."""
    path = path_of(tmp_path, execute(tmp_path))
    execute(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"started"', b'"stopped"'))

    ((found, problem),) = history.broken(tmp_path, [TRAIN])

    assert found == path
    assert problem.startswith("record 1: was edited")
    assert history.broken(tmp_path, ["c" * 32]) == []


def test_a_question_reads_no_segment_whole_that_does_not_concern_it(tmp_path, monkeypatch):
    """A ledger of many long segments is asked often: for each stage of each run."""
    ours, other = execute(tmp_path, "ours"), [{**each, "stage_id": "c" * 32} for each in PLAN]
    with segment.begin(tmp_path, evolve(start("other"), stages=other)) as theirs:
        theirs.append(Decision(topic="long", facts={"text": "x" * 20_000}))
    read, whole = list[str](), Path.read_bytes

    def watched(path: Path) -> bytes:
        read.append(path.stem)
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", watched)

    done = history.done_stages(tmp_path, [TRAIN])
    ended = history.executions(tmp_path)

    assert (list(done), read) == ([TRAIN], [ours])
    assert [each.status for each in ended] == ["done", "done"]


def test_every_truncation_is_read(tmp_path):
    """A segment cut at any byte gives its whole records, and never an error."""
    execution = segment.begin(tmp_path, start())
    execution.append(Decision(topic="one"))
    execution.append(Decision(topic="two"))
    whole = path_of(tmp_path, execution.execution_id).read_bytes()

    for size in range(len(whole)):
        lines = history.lines_of(whole[:size], execution_id=execution.execution_id)

        assert sum(1 for _ in lines) == whole[:size].count(b"\n")


def test_bytes_after_the_seal_are_found(tmp_path):
    """A torn line after a seal is no accident of its writer."""
    path = path_of(tmp_path, execute(tmp_path))
    path.write_bytes(path.read_bytes() + b'{"seq"')

    with pytest.raises(ChainError, match="after the seal"):
        list(history.read_lines(path))


def test_a_record_after_the_seal_is_found(tmp_path):
    """Nobody goes on after a seal, not even with a correct link."""
    path = path_of(tmp_path, execute(tmp_path))
    last = parse(lines_of(tmp_path, path.stem)[-1][:-1], record=0)
    more = render(
        seq=last.seq + 1, time=datetime.now(UTC), kind="decision", data=b"{}", prev=last.hash
    )
    path.write_bytes(path.read_bytes() + more + b"\n")

    with pytest.raises(ChainError, match="after the seal"):
        list(history.read_lines(path))


def test_a_copied_segment_is_found(tmp_path):
    """A segment under another name would count its measurements twice."""
    path = path_of(tmp_path, execute(tmp_path))
    copy = path.with_stem("20991231T000000000000-00000000")
    copy.write_bytes(path.read_bytes())

    with pytest.raises(ChainError, match="execution_id is another"):
        list(history.read_lines(copy))


def test_a_living_process_is_running(tmp_path):
    """Without a seal, an execution runs as long as its process lives."""
    segment.begin(tmp_path, start())

    assert [each.status for each in history.executions(tmp_path)] == ["running"]


def test_a_dead_process_is_interrupted(tmp_path):
    """Without a seal, an execution whose process is gone was interrupted."""
    code = (
        "import sys; from pathlib import Path; from repro.ledger import segment;"
        "from repro.ledger.records import Start;"
        "segment.begin(Path(sys.argv[1]), Start(purpose='run'))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)

    assert [each.status for each in history.executions(tmp_path)] == ["interrupted"]


@pytest.mark.parametrize("place", ["platform.node", "repro.ledger.machine._pid_namespace"])
@pytest.mark.parametrize(("quiet_s", "status"), [(50, "open"), (70, "interrupted")])
def test_an_execution_elsewhere_is_open_until_it_falls_silent(
    tmp_path, monkeypatch, place, quiet_s, status
):
    """Whether a process of another machine or container lives, its heartbeat tells."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(place, lambda: "elsewhere")
        path = path_of(tmp_path, segment.begin(tmp_path, start()).execution_id)
    os.utime(path, (time.time() - quiet_s,) * 2)

    assert [each.status for each in history.executions(tmp_path)] == [status]


def test_find_by_a_beginning(tmp_path):
    """A run or an execution is found by the first digits of its id."""
    one, two = execute(tmp_path, "one"), execute(tmp_path, "two")
    run_id = start("one").run_id or ""

    assert [each.execution_id for each in history.find(tmp_path, run_id[:8])] == [one]
    assert [each.execution_id for each in history.find(tmp_path, two)] == [two]


@pytest.mark.parametrize(
    ("beginning", "problem"), [("zz", "begins no run"), ("20", "write more digits")]
)
def test_find_says_what_is_wrong(tmp_path, beginning, problem):
    """A beginning that fits nothing, or several runs, is an error."""
    execute(tmp_path, "one")
    execute(tmp_path, "two")

    with pytest.raises(LedgerError, match=problem):
        history.find(tmp_path, beginning)


def test_no_ledger_holds_nothing(tmp_path):
    """Before the first run there is nothing, and that is no error."""
    assert history.executions(tmp_path / "none") == []
    assert history.done_stages(tmp_path / "none", [TRAIN]) == {}


def test_artifacts_keep_their_facts(tmp_path):
    """What was recorded about an artifact comes back with the stage."""
    with segment.begin(tmp_path, start()) as execution:
        execution.append(evolve(artifact(tmp_path, b"x"), facts={"shape": [1, 2]}))
        execution.append(event(TRAIN, "done"))

    (found,) = history.done_stages(tmp_path, [TRAIN])[TRAIN].artifacts
    assert isinstance(found, Artifact)
    assert found.facts == {"shape": [1, 2]}
