"""The named queries: each answers its question, and the page shows the answer as it is."""

import re
import shlex
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner

from repro import digest
from repro.cli import repro
from repro.errors import QueryError
from repro.ledger import named_query, query
from repro.ledger.fold import fold
from repro.ledger.records import Checkpoint, Protocol, StageEvent, Start, Tombstone
from repro.ledger.segment import begin
from tests.ledger import example
from tests.ledger.ledgers import execute, measurement, start

PROJECT = Path(__file__).parents[2] / "ledger"
PAGE = (PROJECT / "README.md").read_text("utf-8")
SECTION = PAGE.partition("\n## Queries\n")[2].partition("\n## ")[0]
WEIGHTS = "SELECT execution_id, sha256 FROM artifacts WHERE role = 'weights'"
SHOWN = dict(re.findall(r"^```sh\n(.+?)\n```\n\n```\n(.+?)\n```$", SECTION, re.M | re.S))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The ledger of the page."""
    path: Path = tmp_path_factory.mktemp("ledger")
    example.write(path)
    return path


def answer(root, name, **parameters):
    """The rows of a named query's answer, by column."""
    table = query(root, named_query(root, name), parameters)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def columns(rows, *names):
    """Some columns of an answer."""
    return [tuple(row[name] for name in names) for row in rows]


@pytest.mark.parametrize("command", SHOWN)
def test_the_page_shows_what_the_command_prints(root, command):
    """Each example, run on the ledger of `tests/ledger/example.py`, prints what the page shows."""
    arguments = shlex.split(command)[1:]

    printed = CliRunner().invoke(repro, ["--ledger", str(root), *arguments]).stdout

    assert [line.rstrip() for line in printed.splitlines()] == SHOWN[command].splitlines()


def test_every_query_is_on_the_page():
    """A query that nobody is told of does not exist."""
    told = set(re.findall(r"^\| `([\w-]+)` \|", SECTION, re.M))

    assert told == {path.stem for path in (PROJECT / "queries").glob("*.sql")}


def test_the_best_checkpoint_is_beside_the_next_best(root):
    """29.75 against 31 with errors of 0.5 each are 1.8 standard errors, the best of five values."""
    best, *_ = answer(root, "best-checkpoint")

    assert (best["best_step"], best["value"], best["next_step"]) == (300, 29.75, 200)
    assert (best["z"], best["num_checkpoints"], best["num_values"]) == (1.8, 3, 5)


def test_the_best_checkpoint_is_of_one_run(root):
    """Each run that measured has one row; a run that failed has none."""
    assert columns(answer(root, "best-checkpoint"), "title") == [("lr 2e-3",), ("lr 1e-3",)]


def test_a_sweep_over_alpha_has_intervals(root):
    """The final checkpoint at three alphas, each with 1.96 standard errors to both sides."""
    swept = answer(root, "alpha-sweep")
    final = [each for each in swept if (each["title"], each["checkpoint_step"]) == ("lr 2e-3", 300)]

    assert columns(final, "alpha", "low", "high") == [
        (1.0, 29.52, 31.48),
        (1.5, 28.77, 30.73),
        (2.0, 32.02, 33.98),
    ]


def test_the_last_checkpoints_have_a_mean_and_a_spread(root):
    """Of three checkpoints, the last two; an evaluation with one has no spread."""
    rows = [each for each in answer(root, "last-k", k="2") if each["title"] == "lr 2e-3"]

    assert columns(rows, "evaluation", "steps", "mean", "sd") == [
        ("alpha-1.5", [300], 29.75, None),
        ("last", [200, 300], 30.75, 0.353553),
        ("alpha-2.0", [300], 33.0, None),
    ]


def test_a_checkpoint_costs_its_share_of_the_training(root):
    """A third of 600 s after a third of the updates, and 12 s of sampling."""
    costs = {(each["title"], each["evaluation"]): each for each in answer(root, "cost")}

    assert costs["lr 2e-3", "last@100"]["cost_s"] == 212.0
    assert costs["lr 2e-3", "last@300"]["cost_s"] == 612.0


def test_what_a_pretrained_encoder_cost_counts_whole(tmp_path):
    """Half of 40 s for half of the updates, all 500 s of the encoder's training, and its export."""
    ids = [name * 32 for name in "abcde"]
    kinds = ("train", "export", "train", "sample", "evaluate")
    took = (500.0, 1.0, 40.0, 3.0, 9.0)
    plan = tuple(
        {"stage_id": each, "kind": kind, "name": kind, "inputs": ids[max(0, index - 1) : index]}
        for index, (each, kind) in enumerate(zip(ids, kinds, strict=True))
    )
    with begin(tmp_path, evolve(start(), stages=plan)) as execution:
        for each, last_step in ((ids[0], 1000), (ids[2], 200)):
            execution.append(Checkpoint(stage_id=each, step=last_step, weights=digest.sha256(b"")))
        execution.append(Protocol(protocol_id="p" * 32, facts={}))
        execution.append(evolve(measurement(checkpoint_step=100), stage_id=ids[4]))
        for each, kind, elapsed_s in zip(ids, kinds, took, strict=True):
            execution.append(
                StageEvent(
                    stage_id=each, stage_kind=kind, name=kind, event="done", elapsed_s=elapsed_s
                )
            )
    fold(tmp_path)

    assert columns(answer(tmp_path, "cost"), "train_s", "cost_s") == [(521.0, 524.0)]


def test_latents_are_encoded_once_and_count_once(tmp_path):
    """70 s of encoding, 500 s of the encoder's training on them, half of 40 s, 3 s of samples."""
    encode, mae, export, train, sample, evaluate = ids = [name * 32 for name in "abcdef"]
    below = {encode: [], mae: [encode], export: [mae], train: [encode, export]}
    below |= {sample: [train], evaluate: [sample]}
    kinds = ("encode", "train", "export", "train", "sample", "evaluate")
    took = (70.0, 500.0, 1.0, 40.0, 3.0, 9.0)
    plan = tuple(
        {"stage_id": each, "kind": kind, "name": kind, "inputs": below[each]}
        for each, kind in zip(ids, kinds, strict=True)
    )
    with begin(tmp_path, evolve(start(), stages=plan)) as execution:
        for each, last_step in ((mae, 1000), (train, 200)):
            execution.append(Checkpoint(stage_id=each, step=last_step, weights=digest.sha256(b"")))
        execution.append(Protocol(protocol_id="p" * 32, facts={}))
        execution.append(evolve(measurement(checkpoint_step=100), stage_id=evaluate))
        for each, kind, elapsed_s in zip(ids, kinds, took, strict=True):
            execution.append(
                StageEvent(
                    stage_id=each, stage_kind=kind, name=kind, event="done", elapsed_s=elapsed_s
                )
            )
    fold(tmp_path)

    assert columns(answer(tmp_path, "cost"), "train_s", "cost_s") == [(591.0, 594.0)]


def test_the_front_is_what_nothing_cheaper_beats(root):
    """From the cheapest on, only values that are better than all before them."""
    front = [each for each in answer(root, "cost") if each["on_front"]]

    assert columns(front, "cost_s", "value") == [
        (162.0, 44.5),
        (212.0, 40.0),
        (312.0, 35.5),
        (412.0, 31.0),
        (612.0, 29.75),
    ]


def test_everything_that_was_tried_for_a_claim_is_counted(root):
    """Evidence, values that the claim does not name, and a run that never measured."""
    used = [each["used"] for each in answer(root, "variants", claim="alpha-helps")]

    assert {each: used.count(each) for each in used} == {
        "admitted": 2,
        "not named": 8,
        "never measured": 1,
    }


def test_a_claim_that_was_never_judged_has_no_variants(root):
    """Nothing says how it is measured; an empty answer would say that nothing was tried."""
    with pytest.raises(QueryError, match="no verdict is on a claim named another"):
        answer(root, "variants", claim="another")


def test_a_run_that_is_not_there_has_no_curve(tmp_path):
    """An empty answer would say that it recorded nothing."""
    execute(tmp_path)

    assert answer(tmp_path, "curve", run="2")
    with pytest.raises(QueryError, match="fits 0 runs, expected one"):
        answer(tmp_path, "curve", run="zz")


def test_what_changed_between_two_runs_is_every_value_that_differs(root):
    """A field, the commit, the interpreter, and each result."""
    old, new = (
        each[0]
        for each in query(root, "SELECT run_id FROM runs ORDER BY first_started_at LIMIT 2").rows
    )
    rows = answer(root, "changed", old=old, new=new)

    assert columns(rows[:4], "part", "path") == [
        ("spec", "train.lr"),
        ("git", "commit"),
        ("python", "version"),
        ("results", "alpha-1.5 fid"),
    ]
    assert len(rows) == 3 + 5


def test_what_a_rerun_or_a_failed_attempt_recorded_is_no_change(tmp_path):
    """The record of a rerun has the run's id and no results; what stands is the run that did."""
    execute(tmp_path, "one", value=12.5)
    execute(tmp_path, "two", value=13.5)
    before = answer(tmp_path, "changed", old=start("one").run_id, new=start("two").run_id)
    with begin(tmp_path, start("one", purpose="rerun")):
        pass
    with suppress(ValueError), begin(tmp_path, start("two")):
        raise ValueError

    after = answer(tmp_path, "changed", old=start("one").run_id, new=start("two").run_id)

    assert ("results", "last fid") in columns(before, "part", "path")
    assert after == before


def test_what_was_removed_uses_no_disk(tmp_path):
    """The store holds what is left, and what an execution has made anew since."""
    removed, again = execute(tmp_path, "one"), execute(tmp_path, "two")
    weights = dict(query(tmp_path, WEIGHTS).rows)
    with begin(tmp_path, Start(purpose="gc")) as collection:
        for each in (removed, again):
            facts = {"executions": [each]}
            collection.append(
                Tombstone(sha256=weights[each], size_bytes=3, reason="test", facts=facts)
            )
    nothing = answer(tmp_path, "disk")
    execute(tmp_path, "two")

    assert nothing == []
    assert columns(answer(tmp_path, "disk"), "role", "num_artifacts", "size_bytes") == [
        ("weights", 1, 3)
    ]


def test_a_beginning_that_fits_several_runs_is_refused(root):
    """Which one was meant cannot be known."""
    with pytest.raises(QueryError, match="fits 3 runs, expected one"):
        answer(root, "changed", old="2026", new="2026")


def test_queries_work_from_any_folder(tmp_path, monkeypatch):
    """They come with the package: neither the working folder nor the ledger needs to hold them."""
    monkeypatch.chdir(tmp_path)
    execute(tmp_path / "other")

    assert answer(tmp_path / "other", "best")


def test_a_ledgers_own_query_comes_first(tmp_path):
    """A query of the same name in the ledger's folder replaces the one that comes along."""
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "best.sql").write_text("-- mine\nSELECT 1 AS one", encoding="utf-8")

    assert named_query(tmp_path, "best").endswith("SELECT 1 AS one")
