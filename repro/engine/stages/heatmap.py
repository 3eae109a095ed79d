"""The levels of a path over a heatmap, once a probe has measured it."""

from typing import Any

import numpy as np
from attrs import evolve
from safetensors.numpy import load_file

from repro.engine.execution import Execution
from repro.engine.paths.cheapest import cheapest_levels
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
        case Heun(path=Cheapest() as path):
            measured = load_file(execution.path_of(execution.only_input(stage, "probe"), HEATMAP))
            energies, sigmas = measured["energies"], measured["sigmas"]
            levels, _ = cheapest_levels(path, energies[..., :2], sigmas, steps=sampler.steps)
            coarse = [levels[:, 1]] * (energies.shape[2] - 1)
            rows = np.stack([levels[:, 0], *coarse], axis=1).tolist()
            return evolve(sampler, path=Tabulated(sigmas=tuple(map(tuple, rows))))
        case _:
            return sampler
