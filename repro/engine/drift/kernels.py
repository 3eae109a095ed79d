"""Which program moves the rows of a chunk: torch call by call, or fused by torch.compile.

Fused, the affinities of a temperature are read and written once or twice instead of ten times. On a
CPU, where a chunk fits the cache, that gains nothing (measured: 4 classes of 64 locations, N = P =
C = 64, U = 16, three temperatures take 0.069 s call by call and 0.079 s fused), so there it is not
tried. What a GPU gains depends on the card: it is measured there, in a training's first update. The
two differ in the last bits, so the choice belongs to the state of the training.
"""

import time
from collections.abc import Callable
from functools import cache

import torch
from attrs import field, frozen
from torch import Tensor

from repro.engine.drift.affinity import drift_at

Move = Callable[..., Tensor]
"""What has the arguments and the result of `drift_at`."""

Trial = Callable[[Move], object]

ROUNDS = 3
NOT_CHOSEN, BY_CALL, FUSED = range(3)


@cache
def fused() -> Move:
    """`drift_at`, compiled for each set of options when it is first called."""
    compiled: Move = torch.compile(drift_at, dynamic=True)
    return compiled


@frozen(kw_only=True, eq=False)
class Kernel:
    """A training's choice; `choice` [1] is changed in place, by the choosing or by a checkpoint."""

    choice: Tensor = field(factory=lambda: torch.full((1,), NOT_CHOSEN))

    def chosen(self, device: torch.device, trial: Trial) -> Move:
        """What moves rows on *device*; chosen at first by the time that *trial* takes with each."""
        if device.type == "cpu":
            return drift_at
        if self.choice.item() == NOT_CHOSEN:
            self.choice.fill_(FUSED if _gains(trial, clock=lambda: _clock(device)) else BY_CALL)
        return fused() if self.choice.item() == FUSED else drift_at


def _gains(trial: Trial, *, clock: Callable[[], float]) -> bool:
    """Whether the fused program is faster in the best of some rounds; not where it cannot be made.

    Torch raises a RuntimeError where there is no compiler.
    """
    programs = drift_at, fused()
    best = dict.fromkeys(programs, float("inf"))
    try:
        for number in range(1 + ROUNDS):
            for program in programs:
                begun = clock()
                trial(program)
                if number > 0:  # the first compiles
                    best[program] = min(best[program], clock() - begun)
    except RuntimeError:
        return False
    return best[programs[1]] < best[programs[0]]


def _clock(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done."""
    torch.accelerator.synchronize(device)
    return time.perf_counter()
