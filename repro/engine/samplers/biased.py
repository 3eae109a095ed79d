"""Two samplers that studies have used and that do not sample what the network has learned.

They exist by name so that those studies can be repeated. Calibration refuses them unless a spec
says `allow_biased = true`.
"""

import torch
from torch import Tensor

from repro.engine.samplers.sampler import Draw, Predict
from repro.engine.schedules import epsilon_of, forward_process
from repro.spec.objective import Denoise
from repro.spec.sample import AdjacentStrided, MeanScaled


def adjacent_strided(
    spec: AdjacentStrided, predict: Predict, z: Tensor, *, process: Denoise, draw: Draw
) -> Tensor:
    """Visits `steps` of the levels, but takes each step only to the next level below.

    It removes the noise of one level where it should remove that of the whole stride, so most of
    the starting noise stays: with a perfect network N(0.3, 0.5^2) comes out as N(0.04, 0.94^2) at
    50 of 1000 levels. The levels are those of the study (truncated, not rounded).
    """
    levels = torch.linspace(0, process.schedule.num_levels - 1, spec.steps).long().tolist()
    return walk(levels[::-1], predict, z, process=process, draw=draw, eta=1.0, quiet_below=1)


def mean_scaled(
    spec: MeanScaled, predict: Predict, z: Tensor, *, process: Denoise, draw: Draw
) -> Tensor:
    """Visits every level and scales the posterior's noise, but not its mean, by eta.

    At eta 1 it is ancestral sampling. At eta 0 it is not DDIM: the posterior's mean without its
    noise shrinks every sample onto the mean of the data. Levels 0 and 1 add no noise, as in the
    study.
    """
    levels = list(reversed(range(process.schedule.num_levels)))
    return walk(levels, predict, z, process=process, draw=draw, eta=spec.eta, quiet_below=2)


def walk(
    levels: list[int],
    predict: Predict,
    z: Tensor,
    *,
    process: Denoise,
    draw: Draw,
    eta: float,
    quiet_below: int,
) -> Tensor:
    """The step of Ho et al. (2020, eq. 6 and 11) at each of *levels*; no noise below *quiet_below*.

    Images z [B, C, H, W] are at the first of them.
    """
    forward = forward_process(process.schedule)
    for level in levels:
        abar, beta = forward.alphas_cumprod[level], forward.betas[level]
        epsilon = epsilon_of(process.prediction, predict(z, level), z, abar=abar)
        mean = (z - beta / (1 - abar).sqrt() * epsilon) / (1 - beta).sqrt()
        if level < quiet_below or eta == 0:
            z = mean
        else:
            below = forward.alphas_cumprod[level - 1]
            z = mean + eta * (beta * (1 - below) / (1 - abar)).sqrt() * draw()
    return z
