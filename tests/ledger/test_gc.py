"""Removing what nothing rests on, and nothing else."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.errors import IntegrityError, LedgerError
from repro.ledger import gc, history, query, retention, segment, store, verify
from repro.ledger.gc import KEY, collect
from repro.ledger.lease import lease
from repro.ledger.records import Artifact
from repro.ledger.retention import Policy
from tests.ledger.trainings import (
    EVALUATE,
    SAMPLE,
    STEPS,
    TRAIN,
    die,
    digest_of,
    event,
    execute,
    grown_old,
    judge,
    keep,
    measure,
    start,
    train,
)

SPARE = {
    *(digest_of("weights", f"one-{step}") for step in STEPS[:2]),
    *(digest_of("state", f"one-{step}") for step in STEPS),
}
"""What the last images of a finished run are not made from."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def stored(root: Path) -> set[str]:
    """The digests of all files in the store."""
    return {f"sha256:{path.name}" for path in root.glob("objects/??/*")}


def gone(root: Path, **policy) -> set[str]:
    """What a collection removes, a day after the last change."""
    grown_old(root)
    before = stored(root)
    collect(root, Policy(**policy), delete=True)
    return before - stored(root)


def test_nothing_is_removed_without_being_asked(root):
    """Without `delete` a collection only says what would go, and leaves no record."""
    execute(root)
    grown_old(root)
    before = stored(root)

    found = collect(root)

    assert {each.sha256 for each in found.gone} == SPARE
    assert (stored(root), found.execution_id) == (before, None)
    assert [each.start.purpose for each in history.executions(root)] == ["run"]


def test_a_finished_run_keeps_what_its_numbers_rest_on(root):
    """Training states go, and weights that no images were made from; everything else stays."""
    execute(root)

    assert gone(root) == SPARE


def test_weights_that_images_were_made_from_stay(root):
    """A checkpoint in the middle stays if an evaluation read it, and so does the last."""
    execute(root, step=STEPS[0])

    assert gone(root) == SPARE - {digest_of("weights", f"one-{STEPS[0]}")}


def test_checkpoints_can_be_kept(root):
    """Asked to keep checkpoints, a collection takes only training states."""
    execute(root)

    assert gone(root, keep_checkpoints=True) == {
        digest_of("state", f"one-{step}") for step in STEPS
    }


def test_a_removal_leaves_a_tombstone(root):
    """What was removed, when, why, and what it was, can be asked for ever."""
    execution_id, _ = execute(root)
    gone(root)

    rows = query(
        root,
        "SELECT sha256, size_bytes, reason, facts->'$.roles[0]', facts->'$.executions[0]',"
        " recorded_at IS NOT NULL FROM tombstones WHERE reason = ?",
        [retention.CHECKPOINT],
    ).rows

    assert set(rows) == {
        (
            digest_of("weights", f"one-{step}"),
            len(f"weights one-{step}"),
            retention.CHECKPOINT,
            '"weights"',
            f'"{execution_id}"',
            True,
        )
        for step in STEPS[:2]
    }


def test_a_tombstone_is_no_finding(root):
    """A ledger verifies after a collection as it did before."""
    execution_id, _ = execute(root)
    gone(root)

    assert verify(root) == []
    assert verify(root, execution_id) == []


def test_a_second_collection_has_nothing_to_do(root):
    """What is gone is not announced once more."""
    execute(root)
    gone(root)
    executions = history.executions(root)

    assert gone(root) == set()
    assert history.executions(root) == executions


def test_a_finished_run_stays_finished(root):
    """After a collection all stages of a finished run are done, with the checkpoints left."""
    execute(root)
    gone(root)

    done = history.done_stages(root, [TRAIN, SAMPLE, EVALUATE])

    assert done.keys() == {TRAIN, SAMPLE, EVALUATE}
    assert [each.step for each in done[TRAIN].checkpoints] == [STEPS[-1]]


def test_weights_lost_by_accident_are_not_excused(root):
    """Only what was removed on purpose may be missing from a finished training."""
    execute(root)
    store.path_of(root, digest_of("weights", f"one-{STEPS[0]}")).unlink()

    assert TRAIN not in history.done_stages(root, [TRAIN])


@pytest.mark.parametrize("admitted", [True, False])
def test_what_a_verdict_weighed_stays(root, admitted):
    """Evidence and what it rests on stays, admitted or refused, though its run was given up."""
    with segment.begin(root, start()) as execution:
        train(root, execution, "one")
        execution.append(event(TRAIN, "done"))
        seq = measure(root, execution, "one", step=STEPS[0])
        execution.seal("failed", "the disk was full")
    judge(root, execution.execution_id, seq, admitted=admitted)

    removed = gone(root, give_up_s=1.0)

    assert removed == SPARE - {digest_of("weights", f"one-{STEPS[0]}")}
    assert not removed & set(_named_by_measurement())


def _named_by_measurement() -> tuple[str, ...]:
    return tuple(digest_of(role, f"one-{STEPS[0]}") for role in ("samples", "features", "weights"))


def test_a_verdict_keeps_what_an_earlier_execution_did(root):
    """Evidence that rests on a reused stage keeps what that stage left, in a failed execution."""
    with segment.begin(root, start()) as first:
        train(root, first, "one")
        first.append(event(TRAIN, "done"))
        first.seal("failed")
    with segment.begin(root, start("two")) as second:
        second.append(event(TRAIN, "reused", execution_id=first.execution_id))
        seq = measure(root, second, "one", step=STEPS[0])
        second.seal("failed")
    judge(root, second.execution_id, seq)

    assert gone(root, give_up_s=1.0) == SPARE - {digest_of("weights", f"one-{STEPS[0]}")}


def test_a_killed_training_is_kept_to_go_on_from(root):
    """A run that was killed while it trained keeps all its checkpoints."""
    die(root)

    assert gone(root) == set()


def test_a_training_that_its_run_did_not_outlive_is_kept(root):
    """A run that failed after its training keeps it whole: what comes next may need any of it."""
    with segment.begin(root, start()) as execution:
        train(root, execution, "one")
        execution.append(event(TRAIN, "done"))
        execution.seal("failed")

    assert gone(root) == set()


def test_what_a_failed_stage_left_goes(root):
    """Of a stage that did not end well, and can only be done anew, nothing is kept."""
    with segment.begin(root, start()) as execution:
        keep(root, execution, SAMPLE, "sheet", "one")
        execution.seal("failed")

    assert gone(root) == {digest_of("sheet", "one")}


def test_a_training_that_went_on_elsewhere_is_not_kept_twice(root):
    """Of several attempts at a training the one that came furthest is gone on from."""
    die(root, "near", steps=STEPS[:1])
    die(root, "far", steps=STEPS[:2])

    assert gone(root) == {digest_of(role, f"near-{STEPS[0]}") for role in ("weights", "state")}


def test_a_run_can_be_given_up(root):
    """A run that never finished, and a rehearsal, keep only their code when they are given up."""
    with segment.begin(root, start()) as execution:
        keep(root, execution, None, "patch", "one")
        train(root, execution, "one")
        execution.seal("failed")
    execute(root, "small", purpose="rehearsal")
    execute(root, "good")
    grown_old(root)

    removed = gone(root, give_up_s=3600.0)

    assert {each for each in stored(root) if each not in removed} == {
        digest_of("patch", "one"),
        digest_of("patch", "small"),
        *(digest_of(role, "good") for role in ("patch",)),
        *(digest_of(role, f"good-{STEPS[-1]}") for role in ("weights", "samples", "features")),
    }


def test_a_run_is_not_given_up_too_early(root):
    """A run that was attempted since then is not given up."""
    die(root)

    assert gone(root, give_up_s=2 * 86_400.0) == set()


def test_what_a_running_execution_may_use_stays(root):
    """Beside a live writer, nothing of its plan goes, whoever left it."""
    execute(root)
    with segment.begin(root, start("two")) as running:
        keep(root, running, SAMPLE, "samples", "two")

        assert gone(root) == set()


def test_a_moment_ago_is_too_early(root):
    """A file that a writer has just stored, and not yet recorded, stays for ten minutes."""
    (root / "segments").mkdir(parents=True)
    sha256 = store.put_bytes(root, b"orphan").sha256

    assert collect(root, delete=True).gone == ()
    assert gone(root) == {sha256}


def test_bytes_stored_once_more_count_as_new(root):
    """A writer that stores what is there already keeps it from going, before it is recorded."""
    (root / "segments").mkdir(parents=True)
    store.put_bytes(root, b"orphan")
    grown_old(root)
    store.put_bytes(root, b"orphan")

    assert collect(root, delete=True).gone == ()


def test_a_file_touched_while_it_goes_stays(root):
    """A removal gives way to a writer that came between look and deed."""
    (root / "segments").mkdir(parents=True)
    sha256 = store.put_bytes(root, b"orphan").sha256
    touched_ns = store.locate(root, sha256).stat().st_mtime_ns
    store.put_bytes(root, b"orphan")

    assert not store.remove(root, sha256, touched_ns=touched_ns)
    assert store.check(root, sha256)


def test_a_file_touched_while_it_is_moved_aside_is_put_back(root, monkeypatch):
    """A writer that finds the bytes just before they are moved has them again just after."""
    (root / "segments").mkdir(parents=True)
    sha256 = store.put_bytes(root, b"orphan").sha256
    grown_old(root)
    touched_ns = store.locate(root, sha256).stat().st_mtime_ns
    move = Path.rename

    def touched(path: Path, target: Path) -> Path:
        os.utime(path)
        return move(path, target)

    monkeypatch.setattr(Path, "rename", touched)

    assert not store.remove(root, sha256, touched_ns=touched_ns)
    assert store.check(root, sha256)
    assert list(root.glob("objects/*.part")) == []


def test_a_cut_off_removal_is_undone(root):
    """A file that was moved aside by a killed collection is put back, and judged again."""
    execute(root)
    sha256 = digest_of("features", f"one-{STEPS[-1]}")
    path = store.locate(root, sha256)
    path.rename(root / "objects" / f"{path.name}.part")

    assert gone(root) == SPARE
    assert store.check(root, sha256)


def test_leftovers_of_killed_writers_go(root):
    """A half-written file goes, unless it is being written."""
    (root / "objects").mkdir(parents=True)
    (root / "segments").mkdir()
    old, new = root / "objects" / "0f.part", root / "objects" / "1f.part"
    old.write_bytes(b"half")
    grown_old(root)
    new.write_bytes(b"half")

    found = collect(root, delete=True)

    assert [(each.name, each.size_bytes) for each in found.leftovers] == [("0f.part", 4)]
    assert (old.exists(), new.exists()) == (False, True)


def test_what_nobody_recorded_is_told_so(root):
    """A file without a record goes with a tombstone too."""
    (root / "segments").mkdir(parents=True)
    sha256 = store.put_bytes(root, b"orphan").sha256
    gone(root)

    rows = query(root, "SELECT sha256, reason FROM tombstones").rows

    assert rows == ((sha256, retention.UNRECORDED),)


def test_a_broken_ledger_is_not_collected(root):
    """Where a segment does not hold, nobody can tell what it names, and nothing is removed."""
    execution_id, _ = execute(root)
    grown_old(root)
    path = root / "segments" / f"{execution_id}.jsonl"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b'"fid"', b'"fix"'))
    before = stored(root)

    with pytest.raises(IntegrityError, match=rf"{execution_id}.*verify"):
        collect(root, delete=True)
    assert stored(root) == before


def test_a_ledger_without_one_of_its_segments_is_not_collected(root):
    """Where a segment is missing, its artifacts only look as if nobody had recorded them."""
    execution_id, _ = execute(root)
    grown_old(root)
    query(root, "SELECT 1 AS one")
    (root / "segments" / f"{execution_id}.jsonl").unlink()

    with pytest.raises(IntegrityError, match=f"{execution_id}.*is missing"):
        collect(root, delete=True)


def test_records_of_a_newer_version_count(root, monkeypatch):
    """A digest in a record of an unknown kind is kept."""
    with segment.begin(root, start()) as execution:
        keep(root, execution, SAMPLE, "sheet", "one")
        execution.seal("failed")
    known = history.decoded
    monkeypatch.setattr(
        history, "decoded", lambda line: None if line.kind == Artifact.kind else known(line)
    )

    assert gone(root) == set()


def test_one_collection_at_a_time(root, monkeypatch):
    """A second collection says that another is at it."""
    execute(root)
    monkeypatch.setattr(gc, "WAIT_S", 0.0)

    with lease(root, KEY), pytest.raises(LedgerError, match="holds it"):
        collect(root, delete=True)


def test_no_ledger(tmp_path):
    """A mistyped folder is not an empty ledger."""
    with pytest.raises(LedgerError, match="no ledger here"):
        collect(tmp_path)


def test_an_execution_that_begins_meanwhile_is_seen(root, monkeypatch):
    """An execution that begins before the tombstones are on record keeps what it may use."""
    execute(root)
    grown_old(root)
    before = stored(root)
    begun = []

    def record(*arguments: Any) -> None:
        begun.append(segment.begin(root, start("two")))
        gc_record(*arguments)

    gc_record = gc._record
    monkeypatch.setattr(gc, "_record", record)

    found = collect(root, delete=True)

    assert (stored(root), found.gone) == (before, ())
    begun[0].seal("done")


def test_an_execution_that_begins_afterwards_reads_the_tombstones(root, monkeypatch):
    """What is announced does not count any more, also while its file is still there."""
    execute(root)
    grown_old(root)
    monkeypatch.setattr(store, "remove", lambda *_, **__: False)

    collect(root, delete=True)

    done = history.done_stages(root, [TRAIN])[TRAIN]
    assert stored(root) >= SPARE
    assert [each.step for each in done.checkpoints] == [STEPS[-1]]


def test_what_was_made_anew_counts_again(root):
    """A tombstone is about what was said before: who makes the same bytes again has them."""
    execute(root)
    gone(root)
    again, _ = execute(root, step=STEPS[0])

    done = history.done_stages(root, [TRAIN])[TRAIN]

    assert (done.execution_id, len(done.checkpoints)) == (again, len(STEPS))


def test_what_was_made_anew_and_lost_is_found(root):
    """A tombstone does not excuse the loss of a file that somebody made again since."""
    execute(root)
    gone(root)
    assert verify(root) == []
    execute(root, step=STEPS[0])
    store.path_of(root, digest_of("weights", f"one-{STEPS[0]}")).unlink()

    (finding,) = verify(root)

    assert finding.expected == digest_of("weights", f"one-{STEPS[0]}")


class Killed(BaseException):
    """Stands for SIGKILL."""


@contextmanager
def killed_after(calls: int) -> Iterator[list[str]]:
    """Let the process change files so often, and then never again, not even to clean up."""
    made: list[str] = []

    def limited(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if len(made) >= calls:
                raise Killed
            made.append(name)
            return real(*arguments, **more)

        return call

    with pytest.MonkeyPatch.context() as patched:
        for name in ("write", "fsync", "fchmod", "rename", "unlink", "utime"):
            patched.setattr(os, name, limited(name, getattr(os, name)))
        with suppress(Killed):
            yield made


def test_killed_anywhere_the_next_collection_completes_it(root, tmp_path):
    """After death at any change of a file the ledger verifies, and the next collection finishes."""
    execute(root)
    grown_old(root)
    query(root, "SELECT 1 AS one")
    with killed_after(sys.maxsize) as made:
        collect(shutil.copytree(root, tmp_path / "whole"), delete=True)

    for calls in range(0, len(made), 9):
        copy = shutil.copytree(root, tmp_path / str(calls))
        with killed_after(calls):
            collect(copy, delete=True)
        shutil.rmtree(copy / "leases", ignore_errors=True)  # whose holder is dead

        assert verify(copy) == []
        collect(copy, delete=True)
        assert stored(root) - stored(copy) == SPARE
        assert verify(copy) == []


Step = tuple[str, str, int]
STORIES = st.lists(
    st.tuples(
        st.sampled_from(["done", "failed", "rehearsal", "judged", "collect", "give up"]),
        st.sampled_from("xy"),
        st.sampled_from(STEPS),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=6, deadline=None)
@given(story=STORIES)
def test_a_collection_never_takes_what_something_rests_on(story):
    """Whatever happened before, what was weighed stays, and what was done or saved stays so."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        weighed: set[str] = set()
        for what, name, step in story:
            weighed |= _happened(root, what, name, step)
            grown_old(root)
            before = _usable(root)
            collect(root, Policy(give_up_s=1.0 if what == "give up" else None), delete=True)

            assert weighed <= stored(root)
            assert what == "give up" or _usable(root) == before


def _happened(root: Path, what: str, name: str, step: int) -> set[str]:
    """One more execution; what a verdict weighed of it."""
    (root / "segments").mkdir(exist_ok=True)
    match what:
        case "done" | "rehearsal":
            execute(root, name, step=step, purpose="run" if what == "done" else what)
        case "failed":
            with segment.begin(root, start(name)) as execution:
                train(root, execution, name, steps=tuple(each for each in STEPS if each <= step))
                execution.seal("failed")
        case "judged":
            judge(root, *execute(root, name, step=step))
            return {digest_of(role, f"{name}-{step}") for role in ("weights", "features")}
        case _:
            pass
    return set()


def _usable(root: Path) -> tuple[Any, ...]:
    """What a next execution would find done, or go on from."""
    done = history.done_stages(root, [TRAIN, SAMPLE, EVALUATE])
    saved = None if TRAIN in done else history.saved_training(root, TRAIN)
    return {stage: each.execution_id for stage, each in done.items()}, saved
