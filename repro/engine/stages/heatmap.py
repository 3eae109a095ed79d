"""The levels of a path over a heatmap, once a probe has measured it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import evolve
from safetensors.numpy import load_file

from repro.engine.execution import Execution
from repro.engine.paths.cheapest import cheapest_levels
from repro.engine.paths.grid import Levels
from repro.spec import Stage
from repro.spec.edm import Heun
from repro.spec.path import Cheapest, Tabulated

HEATMAP = "heatmap"
"""The role of the file that the probe leaves: `sigmas` [G], `energies` [G, G, scales]."""


def settled(execution: Execution, stage: Stage, sampler: Any) -> Any:
    """The sampler of *stage*, in which a path over a heatmap below it is a table of its levels.

    Raises:
        RunError: when there is no such path.
    """
    match sampler:
        case Heun(path=Cheapest() as path, steps=steps):
            levels, _, scales = _found(execution, stage, path, steps)
            rows = np.stack([levels[:, 0], *[levels[:, 1]] * (scales - 1)], axis=1).tolist()
            return evolve(sampler, path=Tabulated(sigmas=tuple(map(tuple, rows))))
        case _:
            return sampler


def found_in(execution: Execution, stage: Stage, sampler: Any) -> Mapping[str, Any]:
    """The digest of the heatmap that the path of a sampler is over, and what the path costs there.

    Nothing of other paths. The cost is an error times a change in ln SNR.
    """
    match sampler:
        case Heun(path=Cheapest() as path, steps=steps):
            heatmap = execution.artifact(execution.only_input(stage, "probe"), HEATMAP)
            _, cost, _ = _found(execution, stage, path, steps)
            return {"heatmap": heatmap.sha256, "cost": cost}
        case _:
            return {}


def _found(
    execution: Execution, stage: Stage, path: Cheapest, steps: int
) -> tuple[Levels, float, int]:
    """The levels [steps, 2] of the cheapest path, what it costs, and the number of scales."""
    measured = load_file(execution.path_of(execution.only_input(stage, "probe"), HEATMAP))
    energies = measured["energies"]
    levels, cost = cheapest_levels(path, energies[..., :2], measured["sigmas"], steps=steps)
    return levels, cost, energies.shape[2]
