"""One loop; interrupted anywhere, it ends in the same bits."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from attrs import evolve
from safetensors.torch import load
from torch import Generator, Tensor, nn

from repro.engine.checkpoint import Checkpoint
from repro.engine.objectives.objective import LossOut
from repro.engine.seeds import seeded
from repro.engine.train import train
from repro.errors import RunError
from repro.spec.train import HalfLifeEma, ImageRampLr, Train
from tests.engine import fakes

ROOT = Path(__file__).parents[2]


def finish(
    spec: Train = fakes.TRAIN,
    *,
    objective: object = None,
    network: nn.Module | None = None,
    resume: Checkpoint | None = None,
) -> tuple[list[Checkpoint], list[tuple[int, dict[str, float]]]]:
    """Train to the end; return the checkpoints and the progress."""
    saved: list[Checkpoint] = []
    told: list[tuple[int, dict[str, float]]] = []
    train(
        spec,
        network or fakes.network(),
        objective or fakes.Autoencode(),  # type: ignore[arg-type]
        on_checkpoint=saved.append,
        on_progress=lambda step, values: told.append((step, dict(values))),
        resume=resume,
    )
    return saved, told


def test_checkpoints():
    """A state is left before the first update when asked, at every interval and at the end."""
    saved, _ = finish(evolve(fakes.TRAIN, steps=10, initial_checkpoint=True))

    assert [each.step for each in saved] == [0, 4, 8, 10]


def test_progress():
    """Each update tells its loss, gradient norm, rate and the objective's mean values."""
    _, told = finish(evolve(fakes.TRAIN, steps=2))

    assert [step for step, _ in told] == [1, 2]
    assert {"loss", "grad_norm", "lr", "place"} == told[0][1].keys()
    assert [values["place"] for _, values in told] == [0.5, 10.5]


def test_two_trainings_are_equal():
    """The same spec leaves the same bytes, whatever torch's own stream was."""
    torch.manual_seed(1)
    first, _ = finish()
    torch.manual_seed(2)

    second, _ = finish()

    assert first == second


class Seeds(fakes.Autoencode):
    """Keep which streams every part of an update draws from."""

    def __init__(self) -> None:
        self.drawn: list[tuple[int, int]] = []

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        self.drawn.append((generator.initial_seed(), torch.initial_seed()))
        return super().loss(network, step=step, micro=micro, generator=generator)


def test_every_part_of_an_update_draws_for_itself():
    """Data and dropout have a stream each, named by seed, update and part."""
    objective = Seeds()

    finish(evolve(fakes.TRAIN, steps=2), objective=objective)

    places = [(step, micro) for step in (0, 1) for micro in (0, 1)]
    assert len(set(objective.drawn)) == 4
    assert objective.drawn == [
        tuple(seeded(name, 5, *place).initial_seed() for name in ("train", "dropout"))
        for place in places
    ]


def test_the_seed_matters():
    """Another seed trains on other noise."""
    first, _ = finish()

    other, _ = finish(evolve(fakes.TRAIN, seed=6))

    assert first[-1].weights != other[-1].weights


@pytest.mark.parametrize("index", [0, 1])
def test_resume_equals_no_stop(index: int):
    """From any checkpoint the training ends in the same bytes, dropout and moments included."""
    saved, _ = finish()

    resumed, _ = finish(resume=saved[index])

    assert resumed == saved[index + 1 :]


class Remember(fakes.Autoencode):
    """An objective that scales its loss by how often it was asked."""

    def __init__(self) -> None:
        self.calls = torch.tensor(0)

    def state(self) -> dict[str, Tensor]:
        return {"calls": self.calls}

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        self.calls.add_(1)
        out = super().loss(network, step=step, micro=micro, generator=generator)
        return LossOut(loss=out.loss * (1 + self.calls), values={"calls": float(self.calls)})


@pytest.mark.parametrize("index", [0, 1, 2])
def test_resume_restores_what_an_objective_remembers(index: int):
    """A new objective takes up the state of the old one, that of before the first update too."""
    spec = evolve(fakes.TRAIN, initial_checkpoint=True)
    saved, told = finish(spec, objective=Remember())

    resumed, told_again = finish(spec, objective=Remember(), resume=saved[index])

    assert resumed == saved[index + 1 :]
    assert told_again == told[saved[index].step :]
    assert told[-1][1]["calls"] == 23.5  # of 24 calls, the mean of the last two


def test_resume_from_the_end_does_nothing():
    """A finished training has no further update."""
    saved, _ = finish()

    assert finish(resume=saved[-1]) == ([], [])


KILLED = """
import os, signal, sys
from pathlib import Path
from repro.engine.checkpoint import Checkpoint
from repro.engine.train import train
from tests.engine import fakes

folder, fatal = Path(sys.argv[1]), int(sys.argv[2])

def save(saved):
    for name in ("state", "weights"):
        aside = folder / f"{name}.aside"
        aside.write_bytes(getattr(saved, name))
        aside.rename(folder / f"{saved.step:03}.{name}")

def die(step, values):
    if step == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

files = sorted(folder.glob("*.weights"))
last = files[-1] if files else None
resume = last and Checkpoint(
    step=int(last.stem), weights=last.read_bytes(), state=last.with_suffix(".state").read_bytes()
)
train(fakes.TRAIN, fakes.network(), fakes.Autoencode(), on_checkpoint=save, on_progress=die,
      resume=resume)
"""


def test_killed_again_and_again(tmp_path: Path):
    """Killed with signal 9 before, between and after checkpoints, it ends in the same bytes."""
    expected, _ = finish()
    statuses = []

    for fatal in (2, 4, 7, 11, 0):
        process = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path), str(fatal)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
            check=False,
        )
        statuses.append(process.returncode)

    assert statuses == [-signal.SIGKILL] * 4 + [0]
    assert (tmp_path / "012.weights").read_bytes() == expected[-1].weights
    assert (tmp_path / "012.state").read_bytes() == expected[-1].state


class Regress:
    """A slice of eight fixed examples for each micro-batch."""

    def __init__(self, *, size: int) -> None:
        self.size = size
        self.examples = torch.arange(32.0).view(8, 4) / 32

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        x = self.examples[micro * self.size : (micro + 1) * self.size]
        return LossOut(loss=(network(x) - 1).square().mean())


def test_accumulation_equals_a_larger_batch():
    """Four micro-batches of two move the weights as one batch of eight does."""
    whole, parts = (
        finish(
            evolve(fakes.TRAIN, steps=3, accumulate=accumulate),
            objective=Regress(size=8 // accumulate),
            network=fakes.network(dropout=0.0),
        )[0][-1]
        for accumulate in (1, 4)
    )

    for name, value in load(whole.weights).items():
        assert torch.allclose(value, load(parts.weights)[name], atol=1e-5), name


class Counting(fakes.Autoencode):
    """Shows ten images at a time."""

    num_images = 10


def test_laws_in_images_count_those_of_every_micro_batch():
    """Two of ten an update: a ramp over 80 takes four, and so the average halves as they say."""
    spec = evolve(
        fakes.TRAIN,
        steps=6,
        accumulate=2,
        checkpoint_every=1,
        lr_schedule=ImageRampLr(images=80),
        ema=HalfLifeEma(images=1000, ramp=0.5),
    )

    saved, told = finish(spec, objective=Counting())

    rates = [values["lr"] / spec.lr for _, values in told]
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])
    before, after = (load(each.weights) for each in saved[2:4])  # 60 images were seen before
    decay = 0.5 ** (20 / (0.5 * 60))
    expected = decay * before["ema.0.weight"] + (1 - decay) * after["raw.0.weight"]
    assert torch.allclose(after["ema.0.weight"], expected, atol=1e-6)


def test_clipping():
    """The reported norm is that before clipping; the step is taken with the clipped gradient."""
    spec = evolve(fakes.TRAIN, steps=1, clip_norm=1e-9, weight_decay=0.0, eps=1.0)

    saved, told = finish(spec)

    weights = load(saved[-1].weights)
    assert told[0][1]["grad_norm"] > 0.1
    assert torch.allclose(weights["raw.0.bias"], fakes.network().state_dict()["0.bias"], atol=1e-9)


class Diverge(fakes.Autoencode):
    """The third update's loss is not a number."""

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        out = super().loss(network, step=step, micro=micro, generator=generator)
        return LossOut(loss=out.loss * (float("nan") if step == 2 else 1), values={"energy": 3.0})


def test_a_loss_that_is_not_finite_stops():
    """The error names the update and what was measured."""
    with pytest.raises(RunError, match=r"update 3: .* loss = nan, energy = 3, grad_norm = nan"):
        finish(objective=Diverge())
