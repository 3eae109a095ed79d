"""A network and an objective small enough to train in milliseconds."""

import torch
from torch import Generator, Tensor, nn

from repro.engine.objectives.objective import LossOut
from repro.engine.seeds import global_stream
from repro.spec.train import CosineLr, Train, WarmupEma

TRAIN = Train(
    steps=12,
    seed=5,
    lr=1e-2,
    lr_schedule=CosineLr(warmup_steps=3),
    weight_decay=1e-2,
    accumulate=2,
    clip_norm=0.5,
    ema=WarmupEma(decay=0.9),
    checkpoint_every=4,
)


def network(*, dropout: float = 0.2) -> nn.Module:
    """Four numbers to four, with dropout, always initialised alike."""
    with global_stream("network", 0):
        return nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Dropout(dropout), nn.Linear(8, 4))


class Autoencode:
    """Return what came in: fresh noise every time."""

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        x = torch.randn(8, 4, generator=generator)
        return LossOut(loss=(network(x) - x).square().mean(), values={"place": 10.0 * step + micro})


class TinyDenoiser(nn.Module):
    """One convolution of the noised image and a bias that moves with the level."""

    def __init__(self) -> None:
        super().__init__()
        with global_stream("network", 1):
            self.mix = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, z: Tensor, levels: Tensor) -> Tensor:
        out: Tensor = self.mix(z) + 1e-3 * levels.view(-1, 1, 1, 1)
        return out
