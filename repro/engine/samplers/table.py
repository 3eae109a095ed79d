"""Which function runs which denoising sampler of a spec."""

from collections.abc import Mapping

from repro.engine.samplers.biased import adjacent_strided, mean_scaled
from repro.engine.samplers.ddim import ddim, ddpm
from repro.engine.samplers.sampler import DenoisingSampler
from repro.spec.sample import AdjacentStrided, Ddim, Ddpm, MeanScaled

DENOISING_SAMPLERS: Mapping[type, DenoisingSampler] = {
    Ddpm: ddpm,
    Ddim: ddim,
    AdjacentStrided: adjacent_strided,
    MeanScaled: mean_scaled,
}
