"""Implicit and ancestral sampling on a re-spaced schedule, through diffusers."""

from torch import Tensor

from repro.engine.samplers.sampler import Draw, Predict
from repro.engine.schedules import respaced, trailing_levels
from repro.spec.objective import Denoise
from repro.spec.sample import Ddim, Ddpm


def ddim(spec: Ddim, predict: Predict, z: Tensor, *, process: Denoise, draw: Draw) -> Tensor:
    """Steps down evenly spaced levels (Song et al. 2021, eq. 12).

    The direction is taken from the clipped image, so that a step moves towards what it has clipped.
    The last step adds no noise, and with eta 0 none is ever drawn.
    """
    levels = trailing_levels(process.schedule.num_levels, spec.steps)
    return descend(spec, predict, z, levels=levels, process=process, draw=draw)


def descend(
    spec: Ddim, predict: Predict, z: Tensor, *, levels: list[int], process: Denoise, draw: Draw
) -> Tensor:
    """From images z [B, C, H, W] at the last of ascending *levels*, down over all to the image."""
    scheduler = respaced(process.schedule, levels, prediction=process.prediction, clip=spec.clip)
    for index in reversed(range(len(levels))):
        eta = spec.eta if index > 0 else 0.0
        z = scheduler.step(
            predict(z, levels[index]),
            index,
            z,
            eta=eta,
            use_clipped_model_output=True,
            variance_noise=draw() if eta > 0 else None,
        ).prev_sample
    return z


def ddpm(spec: Ddpm, predict: Predict, z: Tensor, *, process: Denoise, draw: Draw) -> Tensor:
    """Ancestral sampling (Ho et al. 2020, Algorithm 2, with the smaller variance).

    It is the implicit sampler at eta 1, step for step (Song et al. 2021, section 4.1).
    """
    return ddim(
        Ddim(steps=spec.steps, eta=1.0, clip=spec.clip), predict, z, process=process, draw=draw
    )
