"""What it becomes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from repro.engine.datasets import Images
from repro.engine.objectives.images import signed
from repro.engine.objectives.objective import LossOut
from repro.engine.probes.probe import Findings, Subject, Value
from repro.engine.samplers.sampler import Batch, Network
from repro.engine.seeds import seeded
from toyflow.spec import Flow, Midpoint, Squares, Straightness, Velocity


def squares(spec: Squares, cache: Path) -> Images:
    """Every image is one of four, with a grey of its own."""
    del cache
    labels = np.arange(spec.num_images, dtype=np.int64) % 4
    images = np.full((spec.num_images, 4, 4, 1), 32, np.uint8)
    for index, label in enumerate(labels):
        top, left = 2 * (label // 2), 2 * (label % 2)
        images[index, top : top + 2, left : left + 2] = 160 + 8 * (index % 12)
    return Images(images=images, labels=labels, num_classes=4, digest=f"toy:{spec.num_images}")


class VelocityNetwork(nn.Module):
    """Called with the state, times [B] and labels [B], in an order of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.told = nn.Linear(5, width)
        self.enter = nn.Linear(16, width)
        self.leave = nn.Sequential(nn.SiLU(), nn.Linear(width, 16))

    def forward(self, labels: Tensor, times: Tensor, z: Tensor) -> Tensor:
        told = torch.cat([nn.functional.one_hot(labels, 4), times[:, None]], dim=1)
        hidden = self.enter(z.flatten(1)) + self.told(told.to(z.dtype))
        out: Tensor = self.leave(hidden)
        return out.view_as(z)


def velocity(spec: Velocity, shape: tuple[int, ...]) -> nn.Module:
    assert shape == (1, 4, 4)
    return VelocityNetwork(spec.width)


def flow(spec: Flow, given: Any) -> "Flowing":
    return Flowing(spec, given.data)


class Flowing:
    """The objective: nothing about it is known to whoever runs the loop."""

    def __init__(self, spec: Flow, data: Images) -> None:
        self.spec = spec
        self.data = data

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        del step, micro
        num = self.spec.batch_size
        chosen = torch.randint(len(self.data.labels), (num,), generator=generator).numpy()
        clean = signed(self.data.images[chosen])
        noise = torch.randn(clean.shape, generator=generator)
        times = torch.rand(num, generator=generator)
        z = torch.lerp(clean, noise, times[:, None, None, None])
        out = network(torch.from_numpy(self.data.labels[chosen]), times, z)
        return LossOut(loss=(out - (noise - clean)).square().mean(), values={"toy": 1.0})


def midpoint(spec: Midpoint, network: Network, batch: Batch, *, objective: Flow) -> Tensor:
    """From time 1 to time 0."""
    del objective
    z = batch.noise()
    ends = torch.linspace(1, 0.5 if spec.halved else 0, spec.steps + 1, dtype=torch.float64)

    def call(z: Tensor, time: float) -> Tensor:
        return network(batch.labels, torch.full((len(z),), time, dtype=z.dtype), z)

    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        half = z + (end - start) / 2 * call(z, start)
        z = z + (end - start) * call(half, (start + end) / 2)
    return z


def perfect(objective: Flow, *, mean: float, std: float) -> Network:
    """E[noise - image | z] for an image of one pixel from N(mean, std^2)."""
    del objective

    def network(labels: Tensor, times: Tensor, z: Tensor) -> Tensor:
        del labels
        t = times[:, None, None, None]
        away = (z - (1 - t) * mean) / ((1 - t) ** 2 * std**2 + t**2)
        return t * away - (mean + (1 - t) * std**2 * away)

    return network


@torch.no_grad()
def straightness(spec: Straightness, subject: Subject) -> Findings:
    """The mean squared difference of the velocities at both ends of the same line."""
    images = subject.images()
    network = subject.network()
    clean = signed(images.images[: spec.num_images])
    labels = torch.from_numpy(images.labels[: spec.num_images])
    noise = torch.randn(clean.shape, generator=seeded("probe", spec.kind))
    ends = [
        network(labels, torch.full((len(z),), time), z) for time, z in ((0.0, clean), (1.0, noise))
    ]
    turned = float((ends[0] - ends[1]).square().mean())
    return Findings(values=(Value(metric="toy_turn", value=turned, num=len(clean)),))
