"""Whether a sampler, given a perfect network, samples the data: the check before any sampling.

Images of one pixel from N(0.3, 0.5^2) have a perfect network in closed form, E[epsilon | z], and
it is affine in z. Every sampler is then affine in its starting noise and in the noise of each step,
so running the sampler itself once on a batch of unit impulses (all noise zero; the starting noise
one; the first step's noise one; ...) gives its exact mean and standard deviation, without chance.
Clipping is off: it would not be affine, and is for pixels.

A sampler passes when both errors are small, in units of the data's standard deviation:

- mean: at most 0.05. Correct samplers are within 0.024, except where the schedule itself ends with
  so much signal that starting from pure noise is wrong (linear with 250 levels: up to 0.087).
- standard deviation: at most 0.3, and at most what the number of steps explains: 1.1 times the
  error of correctly re-spaced ancestral sampling with as many network calls, plus 0.02. Few steps
  narrow the samples of every correct sampler (ancestral sampling at 50 of 1000 linear levels by
  0.11, at 20 by 0.22; DDIM at 10 by 0.26), which is the price of speed and shrinks with the steps.
  A wrong algorithm has an error that its steps do not explain. Beyond 0.3 the samples no longer
  have the spread of the data, whatever the reason.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor

from repro.engine.builders import builder_of
from repro.engine.samplers.sampler import Network
from repro.engine.schedules import forward_process
from repro.errors import RunError
from repro.spec.objective import Denoise, NoiseSchedule
from repro.spec.sample import Ddpm, DenoisingSampler

MEAN = 0.3
STD = 0.5
MEAN_TOLERANCE = 0.05
STD_TOLERANCE = 0.3
DISCRETISATION_FACTOR = 1.1
DISCRETISATION_MARGIN = 0.02


@frozen(kw_only=True)
class CalibrationResult:
    """What a sampler makes of N(0.3, 0.5^2); errors are in units of 0.5, the truth's deviation."""

    mean: float
    std: float
    mean_error: float
    std_error: float
    mean_tolerance: float
    std_tolerance: float
    nfe: int

    @property
    def passed(self) -> bool:
        """Whether both errors are within tolerance; one that is not a number is not."""
        return (
            abs(self.mean_error) <= self.mean_tolerance
            and abs(self.std_error) <= self.std_tolerance
        )


def calibrate(sampler: DenoisingSampler, schedule: NoiseSchedule) -> CalibrationResult:
    """Run *sampler* on *schedule* with a perfect network and hold it against the exact answer."""
    mean, std, nfe = _moments(sampler, schedule)
    _, ancestral, _ = _moments(Ddpm(steps=nfe), schedule)
    explained = abs(ancestral - STD) / STD
    return CalibrationResult(
        mean=mean,
        std=std,
        mean_error=(mean - MEAN) / STD,
        std_error=(std - STD) / STD,
        mean_tolerance=MEAN_TOLERANCE,
        std_tolerance=min(STD_TOLERANCE, DISCRETISATION_FACTOR * explained + DISCRETISATION_MARGIN),
        nfe=nfe,
    )


def refuse_biased(
    result: CalibrationResult, sampler: DenoisingSampler, schedule: NoiseSchedule
) -> None:
    """Stop unless the sampler passed or its spec allows a biased one.

    Raises:
        RunError: naming what came out, what should have, and the ways on.
    """
    if result.passed or sampler.allow_biased:
        return
    msg = (
        f"calibrate: {sampler.kind} with {result.nfe} network calls on {schedule.num_levels} "
        f"levels of the {schedule.kind} schedule turns a perfect network of N({MEAN}, {STD}^2) "
        f"into N({result.mean:.4f}, {result.std:.4f}^2): errors {result.mean_error:+.3f} (mean) "
        f"and {result.std_error:+.3f} (spread), expected at most {result.mean_tolerance:.3f} and "
        f"{result.std_tolerance:.3f}; take more steps or another sampler, or say "
        "allow_biased = true"
    )
    raise RunError(msg)


class Impulses:
    """Noise for a batch whose row 0 gets none; every further row gets 1 in just one draw."""

    def __init__(self, num_draws: int) -> None:
        self.labels = torch.zeros(num_draws + 2, dtype=torch.int64)
        self._next = 1

    def start(self) -> list[Tensor]:
        return [self.noise()]

    def noise(self, shape: Sequence[int] | None = None) -> Tensor:
        noise = torch.zeros(len(self.labels), *(shape or (1, 1, 1)), dtype=torch.float64)
        noise[self._next] = 1
        self._next += 1
        return noise


def _moments(sampler: DenoisingSampler, schedule: NoiseSchedule) -> tuple[float, float, int]:
    """Mean, standard deviation and network calls of the sampler with a perfect network."""
    calls = 0
    perfect = _perfect_network(schedule)

    def counted(z: Tensor, levels: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return perfect(z, levels)

    samples = builder_of(sampler)(
        unclipped(sampler),
        counted,
        Impulses(schedule.num_levels),
        objective=Denoise(prediction="epsilon", schedule=schedule),
    ).flatten()
    responses = samples[1:] - samples[0]
    return float(samples[0]), float(responses.square().sum().sqrt()), calls


def _perfect_network(schedule: NoiseSchedule) -> Network:
    """E[epsilon | z] of the Gaussian."""
    products = forward_process(schedule).alphas_cumprod.double()

    def epsilon(z: Tensor, levels: Tensor) -> Tensor:
        abar = products[levels].view(-1, 1, 1, 1)
        mean: Tensor = (1 - abar).sqrt() * (z - abar.sqrt() * MEAN) / (abar * STD**2 + 1 - abar)
        return mean

    return epsilon


def unclipped(sampler: Any) -> Any:
    """The sampler without clipping, which would not be affine."""
    changes = {"clip": False} if hasattr(sampler, "clip") else {}
    return attrs.evolve(sampler, **changes)
