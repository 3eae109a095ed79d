"""Trainings that begin with what another run left, and what is on record of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve
from safetensors.torch import load

from repro.engine.beginning import Beginning, Loaded, refuse_other
from repro.engine.checkpoint import Checkpoint
from repro.engine.plan import plan
from repro.engine.run import run
from repro.engine.train import train
from repro.errors import RunError
from repro.ledger import history, store
from repro.spec import load as load_specs
from repro.spec import rehearsal, stages
from tests.engine import tiny
from tests.engine.fakes import TRAIN, Autoencode, network

INIT = """
extends = "tiny.toml"

[init]
from = "tiny.toml"
"""


def trained(**changes) -> list[Checkpoint]:
    """The checkpoints of a training that begins with the one after 8 updates of another."""
    kept: list[Checkpoint] = []
    train(
        TRAIN,
        network(),
        Autoencode(),
        on_checkpoint=kept.append,
        on_progress=lambda *_: None,
        **changes,
    )
    return kept


@pytest.fixture(scope="module")
def whole() -> list[Checkpoint]:
    return trained()


def begun(checkpoint: Checkpoint, mode) -> tuple[Loaded, list[Checkpoint]]:
    told: list[Loaded] = []
    kept = trained(beginning=Beginning(mode=mode, checkpoint=checkpoint), on_begun=told.append)
    return told[0], kept


def test_full_goes_on_as_if_nothing_had_happened(whole: list[Checkpoint]):
    """With an equal spec it ends in the same bits as the training that it goes on with."""
    loaded, kept = begun(whole[1], "full")

    assert (loaded.first_step, loaded.moments, loaded.moments_step) == (8, 4, 8)
    assert [each.step for each in kept] == [12]
    assert kept[-1] == whole[-1]


def test_weights_alone_begin_anew(whole: list[Checkpoint]):
    """No moments, no counts, and an average that begins with the weights."""
    loaded, kept = begun(whole[1], "weights")

    assert loaded == Loaded(
        first_step=0,
        moments=0,
        moments_step=0,
        average_differs=False,
        objective=(),
        lr=TRAIN.lr,
        betas=TRAIN.betas,
        eps=TRAIN.eps,
        weight_decay=TRAIN.weight_decay,
    )
    assert [each.step for each in kept] == [4, 8, 12]
    assert kept[-1] != whole[-1]


def test_the_average_may_come_along(whole: list[Checkpoint]):
    """With weights and average the optimizer still begins anew."""
    loaded, kept = begun(whole[1], "weights_and_ema")

    assert (loaded.first_step, loaded.moments, loaded.average_differs) == (0, 0, True)
    assert [each.step for each in kept] == [4, 8, 12]


def test_what_begins_is_what_was_left(whole: list[Checkpoint]):
    """Without updates between, a checkpoint at the beginning holds the same weights."""
    spec = evolve(TRAIN, initial_checkpoint=True)
    kept: list[Checkpoint] = []
    train(
        spec,
        network(),
        Autoencode(),
        on_checkpoint=kept.append,
        on_progress=lambda *_: None,
        beginning=Beginning(mode="weights_and_ema", checkpoint=whole[1]),
    )

    assert kept[0].step == 0
    assert kept[0].weights == whole[1].weights


def test_other_settings_than_the_spec_s_are_refused():
    """An optimizer that kept its old rate, as in the seed study 001, does not train."""
    loaded = Loaded(
        first_step=0,
        moments=3,
        moments_step=550,
        average_differs=True,
        objective=(),
        lr=2e-4,
        betas=TRAIN.betas,
        eps=TRAIN.eps,
        weight_decay=TRAIN.weight_decay,
    )

    with pytest.raises(RunError) as caught:
        refuse_other(loaded, TRAIN, "weights")

    assert list(caught.value.problems) == [
        f"init: the optimizer goes by lr = 0.0002, the spec says {TRAIN.lr}",
        "init: mode weights loads no moments, but 3 parameters have some",
        "init: mode weights begins the average with the weights, but they differ",
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("init")
    tiny.write(path)
    for name, said in {
        "full": 'mode = "full"\ncheckpoint = 8\n[train]\nsteps = 16\nlr = 5e-4',
        "weights": 'mode = "weights"\ncheckpoint = 8\n[train]\nsteps = 4',
    }.items():
        (path / f"{name}.toml").write_text(f"{INIT}{said}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def root(folder: Path) -> Path:
    """The ledger of both, with the training that they begin with done once."""
    paths = [folder / "full.toml", folder / "weights.toml"]
    outcomes = run(paths, root=folder / "ledger", cache=folder / "cache")
    assert [each.status for each in outcomes] == ["done", "done"], outcomes
    return folder / "ledger"


def left(root: Path, path: Path) -> tuple[history.DoneStage, history.DoneStage]:
    """The training below, and the one that begins with it."""
    (spec,) = load_specs(path)
    ids = [stage.stage_id for stage in stages(spec) if stage.kind == "train"]
    done = history.done_stages(root, ids, rehearsal=False)
    below, own = (done[each] for each in ids)
    return below, own


def record(own: history.DoneStage, root: Path) -> dict[str, Any]:
    (artifact,) = [each for each in own.artifacts if each.role == "initialization"]
    facts: dict[str, Any] = json.loads(store.check(root, artifact.sha256).read_bytes())
    assert facts["weights"] == artifact.facts["weights"]
    return facts


def test_a_full_beginning_counts_on(folder: Path, root: Path):
    """Updates, and so checkpoints, go on from 8; what the spec changes is on record."""
    below, own = left(root, folder / "full.toml")

    facts = record(own, root)

    assert [each.step for each in own.checkpoints] == [12, 16]
    assert facts["weights"] == {each.step: each.weights for each in below.checkpoints}[8]
    assert facts["loaded"]["moments_step"] == facts["checkpoint_step"] == 8
    assert (facts["rate_before"], facts["rate_now"]) == (1e-3, 5e-4)
    assert facts["changed"] == {"train.lr": [1e-3, 5e-4], "train.steps": [12, 16]}


def test_a_beginning_with_weights_alone(folder: Path, root: Path):
    """The training below was done once; this one counts from zero and loads no state."""
    _, own = left(root, folder / "weights.toml")

    facts = record(own, root)

    assert [each.step for each in own.checkpoints] == [4]
    assert facts["state"] is None
    assert facts["loaded"]["moments"] == 0
    assert left(root, folder / "full.toml")[0] == left(root, folder / "weights.toml")[0]


def test_it_does_begin_there(folder: Path, root: Path):
    """Four updates on, the weights are nearer to where they began than to where others began."""
    below, own = left(root, folder / "weights.toml")
    (initial,) = [each for each in below.checkpoints if each.step == 8]
    (after,) = own.checkpoints
    found = [load(store.check(root, each.weights).read_bytes()) for each in (initial, after)]

    moved = max(
        float((found[1][name] - value).abs().max())
        for name, value in found[0].items()
        if name.startswith("raw.") and value.is_floating_point()
    )

    assert 0 < moved < 4 * 2e-3  # Adam moves a weight by about its rate, 1e-3, an update
    assert torch.isfinite(torch.tensor(moved))


def test_a_rehearsal_has_updates_left(folder: Path):
    """The short training below leaves fewer checkpoints; this one goes on from one of them."""
    (spec,) = load_specs(folder / "full.toml")

    small = rehearsal(spec)

    assert small.init
    assert small.train
    assert (small.init.step, small.train.steps) == (2, 6)


def test_going_on_needs_the_state(folder: Path, root: Path, tmp_path: Path):
    """When the state of the checkpoint was collected, the training below is done again."""
    below, _ = left(root, folder / "full.toml")
    other = tmp_path / "ledger"
    shutil.copytree(root, other)
    (saved,) = [each for each in below.checkpoints if each.step == 8]
    state = store.path_of(other, str(saved.state))
    state.parent.chmod(0o755)
    state.unlink()
    again = folder / "again.toml"
    again.write_text(
        f'{INIT}mode = "full"\ncheckpoint = 8\n[train]\nsteps = 20\n', encoding="utf-8"
    )

    kinds = {
        stage.name if stage.kind != "train" else stage.stage_id: stage.state
        for stage in plan(load_specs(again)[0], root=other, cache=folder / "cache").stages
    }

    assert kinds[below.stage_id] == "to do"


def test_an_interrupted_one_says_again_what_it_began_with(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The execution that ends it has the record, though another began it."""
    places: dict[str, Any] = {"root": tmp_path / "ledger", "cache": folder / "cache"}
    run([folder / "tiny.toml"], **places)
    updates = iter(range(8, 13))

    def stop_after_12(*_: Any) -> str:
        if next(updates) == 12:
            raise KeyboardInterrupt
        return ""

    with monkeypatch.context() as patched:
        patched.setattr("repro.engine.stages.train.note_of", stop_after_12)
        with pytest.raises(KeyboardInterrupt):
            run([folder / "full.toml"], **places)
    run([folder / "full.toml"], **places)

    _, own = left(places["root"], folder / "full.toml")
    assert own.event.facts["resumed_after"] == 12
    assert record(own, places["root"])["checkpoint_step"] == 8
