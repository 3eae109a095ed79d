"""The paper's two-dimensional toys, run as their specs say: its published end, and its figure 3."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import frozen
from numpy.typing import NDArray

from repro.engine import datasets
from repro.engine.networks.mlp import mlp
from repro.engine.objectives.drifting import drifting
from repro.engine.seeds import global_stream, seeded
from repro.engine.train import train
from repro.metrics.energy import energy_distance
from repro.spec import Spec, load
from repro.spec.network import Mlp
from repro.spec.objective import Drifting

SPECS = Path(__file__).parents[3] / "specs" / "toy"
SMOOTHED_OVER = 100
NUM_POINTS = 2048


@frozen(kw_only=True, eq=False)
class Trained:
    """What a training ended in: generated points, real ones, and the losses of all updates."""

    generated: NDArray[np.float32]
    real: NDArray[np.float32]
    losses: Sequence[float]

    @property
    def apart(self) -> float:
        return energy_distance(self.generated.astype(np.float64), self.real.astype(np.float64))


def trained(spec: Spec) -> Trained:
    """Train the network of *spec* and draw points from it."""
    assert isinstance(spec.network, Mlp)
    assert isinstance(spec.objective, Drifting)
    assert spec.data is not None
    assert spec.train is not None
    with global_stream("initialize", spec.train.seed):
        network = mlp(spec.network)
    points = datasets.load(spec.data, cache=Path())
    assert isinstance(points, datasets.Points)
    losses: list[float] = []
    train(
        spec.train,
        network,
        drifting(spec.objective, data=points, network_spec=spec.network),
        on_checkpoint=lambda state: None,
        on_progress=lambda step, values: losses.append(values["loss"]),
    )
    with torch.no_grad():
        noise = torch.randn((NUM_POINTS, spec.network.noise_dim), generator=seeded("noise"))
        generated = network(noise).numpy()
    real = points.draw(NUM_POINTS, seeded("real")).numpy()
    return Trained(generated=generated, real=real, losses=losses)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "published"), [("swiss-roll", 1.63e-5), ("checkerboard", 3.56e-5)]
)
def test_reaches_the_published_loss(name: str, published: float):
    """The loss of the last hundred updates is the published one within a factor of 1.5.

    The notebook does not say how it smooths: an average over the last 50 to 100 updates or an
    exponential one of 0.9 to 0.99 differ by a tenth, seeds by as much again.
    """
    (spec,) = load(SPECS / f"{name}.toml")
    losses = trained(spec).losses

    smoothed = float(np.mean(losses[-SMOOTHED_OVER:]))
    assert published / 1.5 < smoothed < published * 1.5


@pytest.mark.slow
@pytest.mark.parametrize("begins", ["between", "far", "collapsed"])
def test_every_beginning_reaches_both_modes(begins: str):
    """Algorithm 2 at a temperature as wide as the modes covers both, wherever it starts."""
    spec = bimodal(begins, rule="algorithm-2")

    found = trained(spec)

    assert 0.4 < (found.generated[:, 0] > 0).mean() < 0.6
    assert found.apart < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("floor", "spreads"), [(1e-6, False), (0.0, True)])
def test_the_released_floor_holds_points_together(floor: float, spreads: bool):  # noqa: FBT001
    """Between the modes, every point stays at the mean of the data; without the floor none does."""
    found = trained(bimodal("between", rule="official", affinity_floor=floor))

    assert (found.generated.std(axis=0).max() > 1) == spreads
    assert (found.apart < 0.1) == spreads


@pytest.mark.slow
def test_attraction_alone_is_worse():
    """A field without repulsion ends further from the data than the balanced one."""
    every = load(
        SPECS / "antisymmetry.toml",
        overrides=[
            "probe=[]",
            "train.steps=300",
            "train.checkpoint_every=300",
            "objective.num_generated=256",
            "objective.num_positive=256",
        ],
    )
    by_repulsion = {
        each.objective.repulsion: trained(each).apart
        for each in every
        if isinstance(each.objective, Drifting)
        and (each.objective.attraction, each.objective.repulsion) in ((1.0, 1.0), (1.0, 0.0))
    }

    assert by_repulsion[0.0] > 2 * by_repulsion[1.0]


def bimodal(begins: str, *, rule: str, affinity_floor: float | None = None) -> Spec:
    """The run of `bimodal.toml` with this beginning, rule and floor (by default the rule's own)."""
    place = ("between", "far", "collapsed").index(begins)
    found = [
        each
        for each in load(SPECS / "bimodal.toml")
        if isinstance(each.objective, Drifting)
        and each.objective.rule == rule
        and affinity_floor in (None, each.objective.affinity_floor)
    ]
    return found[place]
