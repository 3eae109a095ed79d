"""Noise schedules, and the levels of one that a sampler visits.

Level t has signal a = sqrt(abar_t) and noise s = sqrt(1 - abar_t), where abar is the cumulative
product of 1 - beta; the noised image is z = a x0 + s epsilon. Level 0 is the least noisy.
"""

from typing import Any, Literal

from torch import Tensor

from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.spec.objective import CosineSchedule, LinearSchedule, NoiseSchedule

Prediction = Literal["epsilon", "v", "sample"]
DIFFUSERS_PREDICTION = {"epsilon": "epsilon", "v": "v_prediction", "sample": "sample"}


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


def respaced(
    schedule: NoiseSchedule, levels: list[int], *, prediction: Prediction, clip: bool
) -> Any:
    """The diffusers `DDIMScheduler` whose level i is `levels[i]` of *schedule*.

    The subsequence becomes a schedule of its own, so that every step uses the true previous level.
    diffusers' own re-spacing subtracts `num_levels // steps`, which misses it when that does not
    divide. The cumulative products are handed over, in double precision: single precision would
    lose the noisiest level if they were rebuilt from betas near one, and at eta 1 it takes the
    square root of a rounding error below zero. They are plain numbers: tensors of one number each
    would double what a step costs.
    """
    ensure_torchvision_importable()
    from diffusers import DDIMScheduler

    scheduler: Any = DDIMScheduler(  # type: ignore[no-untyped-call]
        num_train_timesteps=len(levels),
        prediction_type=DIFFUSERS_PREDICTION[prediction],
        clip_sample=clip,
        timestep_spacing="trailing",
    )
    scheduler.alphas_cumprod = forward_process(schedule).alphas_cumprod.double()[levels].tolist()
    scheduler.set_timesteps(len(levels))
    return scheduler


def epsilon_of(prediction: Prediction, output: Tensor, z: Tensor, *, abar: Tensor) -> Tensor:
    """The noise that a network's *output* at *z* stands for (exact, as all three are affine)."""
    match prediction:
        case "epsilon":
            return output
        case "v":
            return abar.sqrt() * output + (1 - abar).sqrt() * z
        case "sample":
            return (z - abar.sqrt() * output) / (1 - abar).sqrt()
