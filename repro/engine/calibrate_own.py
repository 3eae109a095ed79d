"""Whether the sampler of an installed package, given a perfect network, samples the data.

The package says what a perfect network of N(0.3, 0.5^2) puts out, by a function that it names in
the entry-point group `repro.engine.perfect` under the kind of the objective:

    def perfect(objective, *, mean, std) -> network

The network is called as the package's sampler calls its own. As in `calibrate`, a sampler whose
network is affine is itself affine in its noise, so unit impulses give its exact mean and deviation.
"""

from importlib.metadata import entry_points
from typing import Any

import torch

from repro.engine.builders import builder_of
from repro.engine.calibrate import (
    MEAN,
    MEAN_TOLERANCE,
    STD,
    CalibrationResult,
    Impulses,
    unclipped,
)
from repro.engine.samplers.sampler import Network
from repro.errors import RunError

OWN_STD_TOLERANCE = 0.1
"""Nothing is known of what few steps cost a sampler of others, so the bound is a plain one."""

GROUP = "repro.engine.perfect"


def calibrate_own(sampler: Any, objective: Any) -> CalibrationResult:
    """Run *sampler* with the perfect network of its package and hold it against the exact answer.

    Raises:
        RunError: the package names no perfect network.
    """
    network = _perfect_network(objective)
    rehearsed = _Counting(0)
    builder_of(sampler)(unclipped(sampler), network, rehearsed, objective=objective)
    calls = 0

    def counted(*inputs: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return network(*inputs, **named)

    impulses = Impulses(rehearsed.draws)
    made = builder_of(sampler)(unclipped(sampler), counted, impulses, objective=objective).flatten()
    mean, std = float(made[0]), float((made[1:] - made[0]).square().sum().sqrt())
    return CalibrationResult(
        mean=mean,
        std=std,
        mean_error=(mean - MEAN) / STD,
        std_error=(std - STD) / STD,
        mean_tolerance=MEAN_TOLERANCE,
        std_tolerance=OWN_STD_TOLERANCE,
        nfe=calls,
    )


def refuse_biased_own(result: CalibrationResult, sampler: Any) -> None:
    """Stop unless the sampler passed or its spec allows a biased one.

    Raises:
        RunError: naming what came out and what should have.
    """
    if result.passed or sampler.allow_biased:
        return
    msg = (
        f"calibrate: {sampler.kind} with {result.nfe} network calls turns a perfect network of "
        f"N({MEAN}, {STD}^2) into N({result.mean:.4f}, {result.std:.4f}^2): errors "
        f"{result.mean_error:+.3f} (mean) and {result.std_error:+.3f} (spread), expected at most "
        f"{result.mean_tolerance:.3f} and {result.std_tolerance:.3f}; take more steps or another "
        "sampler, or say allow_biased = true"
    )
    raise RunError(msg)


class _Counting(Impulses):
    """A batch of two that counts what is drawn of it; all its noise is zero."""

    draws = 0

    def noise(self, shape: Any = None) -> torch.Tensor:
        self.draws += 1
        return torch.zeros(len(self.labels), *(shape or (1, 1, 1)), dtype=torch.float64)


def _perfect_network(objective: Any) -> Network:
    for plugin in entry_points(group=GROUP, name=objective.kind):
        network: Network = plugin.load()(objective, mean=MEAN, std=STD)
        return network
    msg = (
        f"calibrate: no perfect network of {objective.kind} is known; its package must name a "
        f"function for {objective.kind!r} in the entry-point group {GROUP}"
    )
    raise RunError(msg)
