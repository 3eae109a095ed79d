"""The way back from any level of noise, not only from the noisiest."""

from torch import Tensor

from repro.engine.samplers.biased import walk
from repro.engine.samplers.ddim import descend
from repro.engine.samplers.sampler import Draw, Predict
from repro.engine.schedules import trailing_levels
from repro.spec.objective import Denoise
from repro.spec.sample import Ddim, Ddpm, MeanScaled


def from_level(
    spec: Ddim | Ddpm | MeanScaled,
    predict: Predict,
    z: Tensor,
    level: int,
    *,
    process: Denoise,
    draw: Draw,
) -> Tensor:
    """Images of z [B, C, H, W], which is at *level*, over the visited levels below it."""
    if isinstance(spec, MeanScaled):
        levels = list(range(level, -1, -1))
        return walk(levels, predict, z, process=process, draw=draw, eta=spec.eta, quiet_below=2)
    if isinstance(spec, Ddpm):
        spec = Ddim(steps=spec.steps, eta=1.0, clip=spec.clip)
    below = [
        each for each in trailing_levels(process.schedule.num_levels, spec.steps) if each < level
    ]
    return descend(spec, predict, z, levels=[*below, level], process=process, draw=draw)
