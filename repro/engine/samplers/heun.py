"""Second-order steps down a path of noise levels, one for every scale."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from repro.engine.edm.codec import decode, on_channels
from repro.engine.edm.precondition import Denoiser, denoiser
from repro.engine.paths.grid import Grid, Levels
from repro.engine.paths.table import table
from repro.engine.samplers.sampler import Batch, Network
from repro.errors import RunError
from repro.spec.edm import Churn, Edm, Heun, num_scales

EPSILON = 1e-8  # under the root of a length, as in the study


def heun(spec: Heun, network: Network, batch: Batch, *, objective: Any) -> Tensor:
    """Sample states and decode them (Karras et al. 2022, Algorithms 1 and 2).

    Raises:
        RunError: for a network of another objective, or a path that is none.
    """
    if not isinstance(objective, Edm):
        msg = f"sample: {spec.kind} needs a network of objective edm, got {objective.kind}"
        raise RunError(msg)
    levels = levels_of(spec, objective)
    states = integrate(
        denoiser(network, sigma_data=objective.sigma_data),
        started(spec, batch.noise().double(), levels),
        levels,
        churn=spec.churn,
        draw=lambda: batch.noise().double(),
    )
    return decode(objective.codec, states).float()


def levels_of(spec: Heun, objective: Edm) -> Levels:
    """The levels [steps, scales] that the sampler goes down.

    Raises:
        RunError: when the path is none for these scales, or not known yet.
    """
    return table(spec.path, grid_of(spec), num_scales=num_scales(objective.codec))


def grid_of(spec: Heun) -> Grid:
    """The levels between which the sampler steps."""
    return Grid(steps=spec.steps, sigma_min=spec.sigma_min, sigma_max=spec.sigma_max, rho=spec.rho)


def started(spec: Heun, noise: Tensor, levels: Levels) -> Tensor:
    """States [B, C, H, W] at the first levels of a path, from normal *noise*.

    Seen at constant variance they are the prior: `prior_scale` times normal noise, or times its
    pairs of channels (c, c + C/2) at length 1.
    """
    prior = spec.prior_scale * (on_unit_circle(noise) if spec.prior == "unit-circle" else noise)
    first = torch.as_tensor(levels[:1], device=noise.device)
    return prior * on_channels((1 + first**2).sqrt(), noise)


def on_unit_circle(noise: Tensor) -> Tensor:
    """Channel pairs (c, c + C/2) of noise [B, C, H, W] scaled to length 1; their variance is 1/2.

    With several scales these are not the pairs that the torus codec makes, in the study as here.
    """
    first, second = noise.chunk(2, dim=1)
    length = (first**2 + second**2 + EPSILON).sqrt()
    return torch.cat([first / length, second / length], dim=1)


def integrate(
    denoise: Denoiser,
    state: Tensor,
    levels: Levels,
    *,
    churn: Churn | None = None,
    draw: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Take *state* [B, C, H, W] at the first of *levels* [N, G] down to no noise.

    Each step goes by the mean of the slopes at its two ends; the last one, to 0, by its first slope
    alone, which makes 2 N - 1 calls of *denoise*. A scale whose level stays is not moved.
    """
    rows = torch.as_tensor(levels, device=state.device)
    for index, row in enumerate(rows):
        state, sigma = _churned(state, row, churn, draw, steps=len(rows))
        here = sigma.expand(len(state), -1)
        slope = (state - denoise(state, here)) / on_channels(here, state)
        if index == len(rows) - 1:
            return state - on_channels(here, state) * slope
        there = rows[index + 1].expand(len(state), -1)
        step = on_channels(there - here, state)
        ahead = state + step * slope
        slope_there = (ahead - denoise(ahead, there)) / on_channels(there, state)
        state = state + step * (slope + slope_there) / 2
    return state


def _churned(
    state: Tensor,
    sigma: Tensor,
    churn: Churn | None,
    draw: Callable[[], Tensor] | None,
    *,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """State and levels [1, G] after some noise was put back."""
    noisiest = float(sigma.max())
    if churn is None or draw is None or not churn.from_sigma <= noisiest <= churn.to_sigma:
        return state, sigma[None]
    more = 1 + min(churn.amount / steps, math.sqrt(2) - 1)
    added = churn.scale * sigma[None] * math.sqrt(more**2 - 1)
    return state + on_channels(added, state) * draw(), more * sigma[None]
