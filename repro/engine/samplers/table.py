"""Which function runs which sampler of a spec."""

from collections.abc import Callable, Mapping
from typing import Any

from repro.engine.samplers.biased import adjacent_strided, mean_scaled
from repro.engine.samplers.ddim import ddim, ddpm
from repro.engine.samplers.heun import heun, levels_of
from repro.engine.samplers.levels import on_levels
from repro.engine.samplers.one_step import one_step
from repro.engine.samplers.sampler import Sampler
from repro.spec.edm import Heun
from repro.spec.sample import AdjacentStrided, Ddim, Ddpm, MeanScaled, OneStep

SAMPLERS: Mapping[type, Sampler] = {
    OneStep: one_step,
    Heun: heun,
    Ddpm: on_levels(ddpm),
    Ddim: on_levels(ddim),
    AdjacentStrided: on_levels(adjacent_strided),
    MeanScaled: on_levels(mean_scaled),
}

LEVELS: Mapping[type, Callable[[Any, Any], Any]] = {Heun: levels_of}
"""The levels [steps, scales] that a sampler goes down, by its spec and the objective's: kept."""
