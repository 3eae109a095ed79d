"""Running again after garbage collection."""

import pytest

from repro.engine.plan import plan
from repro.engine.run import run
from repro.ledger import gc, query, verify
from repro.spec import load
from tests.engine import tiny
from tests.engine.test_stages import EVALUATED
from tests.ledger.trainings import grown_old

FIRST = EVALUATED.replace("checkpoints = { last = 2 }", "checkpoints = { last = 1 }")
OTHER = EVALUATED.replace("checkpoints = { last = 2 }", "checkpoints = { steps = [4] }")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run that evaluated its last checkpoint of three, collected a day later."""
    folder = tmp_path_factory.mktemp("collected")
    run([tiny.write(folder, FIRST)], root=folder / "ledger", cache=folder / "cache")
    grown_old(folder / "ledger")
    gc.collect(folder / "ledger", delete=True)
    return folder


@pytest.fixture
def places(folder):
    return {"root": folder / "ledger", "cache": folder / "cache"}


def trained(places) -> list[str]:
    """The executions that trained the network."""
    rows = query(
        places["root"],
        "select execution_id from stage_events where stage_kind = 'train' and event = 'done'"
        " order by all",
    ).rows
    return [str(row[0]) for row in rows]


def test_a_finished_run_has_nothing_to_do(folder, places):
    """What was collected is not made again for nothing."""
    (again,) = run([folder / "tiny.toml"], **places)

    assert again.status == "done before"
    assert len(trained(places)) == 1


def test_a_checkpoint_that_was_collected_is_made_anew(folder, places):
    """An evaluation that needs it trains again, to the same bits, and reuses the rest."""
    before = query(places["root"], "select step, weights from checkpoints order by step").rows
    spec = tiny.write(folder, OTHER)
    planned = {each.kind: each.state for each in plan(load(spec)[0], **places).stages}

    (outcome,) = run([spec], **places)

    assert (planned["train"], planned["prepare"], planned["reference"]) == ("to do", "done", "done")
    assert (outcome.status, trained(places)[1:]) == ("done", [outcome.execution_id])
    assert (
        query(
            places["root"],
            "select step, weights from checkpoints where execution_id = ? order by step",
            [outcome.execution_id],
        ).rows
        == before
    )
    assert verify(places["root"]) == []
