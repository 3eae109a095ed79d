"""Noise schedules, and the levels of one that a sampler visits.

Level t has signal a = sqrt(abar_t) and noise s = sqrt(1 - abar_t), where abar is the cumulative
product of 1 - beta; the noised image is z = a x0 + s epsilon. Level 0 is the least noisy.
"""

import math
from functools import cache
from typing import Any, Literal

from torch import Tensor

from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.spec.objective import CosineSchedule, LinearSchedule, NoiseSchedule

Prediction = Literal["epsilon", "v", "sample"]


def forward_process(schedule: NoiseSchedule) -> Any:
    """The diffusers `DDPMScheduler` that adds the noise of *schedule*."""
    ensure_torchvision_importable()
    from diffusers import DDPMScheduler

    match schedule:
        case LinearSchedule():
            return DDPMScheduler(  # type: ignore[no-untyped-call]
                num_train_timesteps=schedule.num_levels,
                beta_schedule="linear",
                beta_start=schedule.beta_start,
                beta_end=schedule.beta_end,
            )
        case CosineSchedule():
            return DDPMScheduler(  # type: ignore[no-untyped-call]
                num_train_timesteps=schedule.num_levels, beta_schedule="squaredcos_cap_v2"
            )


def trailing_levels(num_levels: int, steps: int) -> list[int]:
    """*steps* levels, evenly spaced and ascending, the last being the noisiest of all.

    Sampling starts from pure noise, so it must start at the noisiest level (Lin et al. 2024, table
    2); "leading" spacing would start below it.
    """
    return [round(num_levels * (number + 1) / steps) - 1 for number in range(steps)]


@cache
def signals(schedule: NoiseSchedule) -> tuple[float, ...]:
    """Abar at every level: the products that the process is made of, each rounded to single."""
    return tuple(forward_process(schedule).alphas_cumprod.tolist())


def image_of(prediction: Prediction, output: Tensor, z: Tensor, *, abar: float) -> Tensor:
    """The image that a network's *output* at *z* stands for (exact, as all three are affine)."""
    match prediction:
        case "epsilon":
            return (z - math.sqrt(1 - abar) * output) / math.sqrt(abar)
        case "v":
            return math.sqrt(abar) * z - math.sqrt(1 - abar) * output
        case "sample":
            return output


def epsilon_of(prediction: Prediction, output: Tensor, z: Tensor, *, abar: Tensor) -> Tensor:
    """The noise that a network's *output* at *z* stands for (exact, as all three are affine)."""
    match prediction:
        case "epsilon":
            return output
        case "v":
            return abar.sqrt() * output + (1 - abar).sqrt() * z
        case "sample":
            return (z - abar.sqrt() * output) / (1 - abar).sqrt()
