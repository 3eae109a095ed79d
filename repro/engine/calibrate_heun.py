"""Whether steps down a path of several scales, given a perfect network, sample the data.

As `calibrate` does it for discrete levels: every scale is one pixel of N(0.3, 0.5^2), whose
denoiser is known exactly, and the sampler's linear map gives mean and deviation without chance. The
scale that is furthest off counts. What is allowed is measured against the same number of steps on
the path that the network was trained for: all scales together, down to the last level, from
normal noise. So a path that stops early is refused unless its spec allows it, and a prior of the
wrong size too.
"""

import math
from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from repro.engine.calibrate import (
    DISCRETISATION_FACTOR,
    DISCRETISATION_MARGIN,
    MEAN,
    MEAN_TOLERANCE,
    STD,
    STD_TOLERANCE,
    CalibrationResult,
)
from repro.engine.edm.codec import on_channels
from repro.engine.paths.table import table
from repro.engine.samplers.heun import grid_of, integrate
from repro.errors import RunError
from repro.spec.edm import Heun
from repro.spec.path import Sync

DEVIATIONS = {"gaussian": 1.0, "unit-circle": math.sqrt(0.5)}
"""Of what sampling starts from, before `prior_scale`."""


def calibrate_heun(spec: Heun, *, num_scales: int) -> CalibrationResult:
    """Run the sampler with a perfect network and hold its worst scale against the exact answer."""
    mean, std = _moments(spec, num_scales)
    trained_for = attrs.evolve(
        spec, path=Sync(), prior="gaussian", prior_scale=1.0, allow_biased=False
    )
    _, expected = _moments(trained_for, num_scales)
    explained = float((expected - STD).abs().max()) / STD
    worst_mean, worst_std = (
        float(found[(found - truth).abs().argmax()]) for found, truth in ((mean, MEAN), (std, STD))
    )
    return CalibrationResult(
        mean=worst_mean,
        std=worst_std,
        mean_error=(worst_mean - MEAN) / STD,
        std_error=(worst_std - STD) / STD,
        mean_tolerance=MEAN_TOLERANCE,
        std_tolerance=min(STD_TOLERANCE, DISCRETISATION_FACTOR * explained + DISCRETISATION_MARGIN),
        nfe=2 * spec.steps - 1,
    )


def refuse_biased_heun(result: CalibrationResult, spec: Heun) -> None:
    """Stop unless the sampler passed or its spec allows a biased one.

    Raises:
        RunError: naming what came out, what should have, and the ways on.
    """
    if result.passed or spec.allow_biased:
        return
    msg = (
        f"calibrate: {spec.kind} in {spec.steps} steps on the path {spec.path.kind}, from "
        f"{spec.prior_scale:g} times {spec.prior} noise, turns a perfect network of N({MEAN}, "
        f"{STD}^2) into N({result.mean:.4f}, {result.std:.4f}^2): errors {result.mean_error:+.3f} "
        f"(mean) and {result.std_error:+.3f} (spread), expected at most "
        f"{result.mean_tolerance:.3f} and {result.std_tolerance:.3f}; take a path that ends at "
        "sigma_min, a prior of deviation 1 or more steps, or say allow_biased = true"
    )
    raise RunError(msg)


def _moments(spec: Heun, num_scales: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every scale [G] with a perfect network."""
    levels = table(spec.path, grid_of(spec), num_scales=num_scales)
    draws = _impulses(spec.steps + 1, num_scales)
    start = spec.prior_scale * DEVIATIONS[spec.prior] * draws()
    first = torch.as_tensor(levels[:1])
    state = start * on_channels((1 + first**2).sqrt(), start)
    samples = integrate(_perfect, state, levels, churn=spec.churn, draw=draws).flatten(1)
    responses = samples[1:] - samples[0]
    return samples[0], responses.square().sum(dim=0).sqrt()


def _impulses(num_draws: int, num_scales: int) -> Callable[[], Tensor]:
    """Noise for a batch whose row 0 gets none; every further row gets 1 in just one draw."""
    rows = iter(range(1, num_draws + 1))

    def draw() -> Tensor:
        noise = torch.zeros(num_draws + 1, num_scales, 1, 1, dtype=torch.float64)
        noise[next(rows)] = 1
        return noise

    return draw


def _perfect(state: Tensor, sigma: Tensor) -> Tensor:
    """E[x0 | X] of the Gaussian."""
    gain = on_channels(STD**2 / (STD**2 + sigma**2), state)
    return MEAN + gain * (state - MEAN)
