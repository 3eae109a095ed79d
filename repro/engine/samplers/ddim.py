"""Implicit and ancestral sampling over some of the levels of a schedule."""

import math

from torch import Tensor

from repro.engine.samplers.sampler import Draw, Predict
from repro.engine.schedules import image_of, signals, trailing_levels
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
    """From images z [B, C, H, W] at the last of ascending *levels*, down over all to the image.

    Every step uses the true level below it, also where the levels do not divide evenly. Its factors
    are computed in double precision: near pure noise single precision would take the square root of
    a rounding error below zero.
    """
    known = signals(process.schedule)
    below = [1.0, *(known[level] for level in levels)]
    for index in reversed(range(len(levels))):
        abar, abar_below = below[index + 1], below[index]
        image = image_of(process.prediction, predict(z, levels[index]), z, abar=abar)
        if spec.clip:
            image = image.clamp(-1, 1)
        noise = (z - math.sqrt(abar) * image) / math.sqrt(1 - abar)
        eta = spec.eta if index > 0 else 0.0
        std = eta * math.sqrt((1 - abar_below) / (1 - abar) * (1 - abar / abar_below))
        z = math.sqrt(abar_below) * image + math.sqrt(1 - abar_below - std * std) * noise
        if eta > 0:
            z = z + std * draw()
    return z


def ddpm(spec: Ddpm, predict: Predict, z: Tensor, *, process: Denoise, draw: Draw) -> Tensor:
    """Ancestral sampling (Ho et al. 2020, Algorithm 2, with the smaller variance).

    It is the implicit sampler at eta 1, step for step (Song et al. 2021, section 4.1).
    """
    return ddim(
        Ddim(steps=spec.steps, eta=1.0, clip=spec.clip), predict, z, process=process, draw=draw
    )
