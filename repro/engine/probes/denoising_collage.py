"""The way from noise to image, in pictures."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from repro.engine.determinism import deterministic
from repro.engine.probes.pictures import captioned
from repro.engine.probes.probe import Findings, Left, Subject
from repro.engine.probes.resampling import batch_of, network_of, sampled
from repro.engine.quantise import quantise
from repro.spec.probes.denoising import DenoisingCollage


def denoising_collage(spec: DenoisingCollage, subject: Subject) -> Findings:
    """A row an image: its states at the levels, noisiest first, and what it became."""
    sample: Any = spec.sample  # a checkpoint's: the spec was checked
    batch = batch_of(sample, subject)
    network = network_of(sample, subject, batch.labels)
    states: dict[int, Tensor] = {}

    def watched(z: Tensor, levels: Tensor) -> Tensor:
        states[int(levels[0])] = z
        return network(z, levels)

    with deterministic(), torch.inference_mode():
        made = sampled(sample, subject, watched, batch)
        shown = shown_levels(spec.levels, visited=list(states))
        columns = [_bytes(subject, states[level]) for level in shown] + [_bytes(subject, made)]
    names = [*(f"t = {level}" for level in shown), "image"]
    tiles = np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:])
    captions = names * len(columns[0])
    return Findings(
        files=(
            Left(
                role="collage",
                name="collage.png",
                data=captioned(tiles, captions, columns=len(names)),
                media_type="image/png",
            ),
            Left(
                role="states",
                name="states.safetensors",
                data=save(
                    {
                        **{f"level-{level}": states[level].cpu().numpy() for level in shown},
                        "made": made.cpu().numpy(),
                        "labels": batch.labels.cpu().numpy(),
                    }
                ),
            ),
        ),
    )


def shown_levels(asked: tuple[int, ...], *, visited: list[int]) -> list[int]:
    """For each of *asked* the highest level that was *visited* at or below it; noisiest first."""
    found = {max((each for each in visited if each <= level), default=None) for level in asked}
    return sorted((each for each in found if each is not None), reverse=True)


def _bytes(subject: Subject, made: Tensor) -> NDArray[np.uint8]:
    return quantise(subject.decoded(made))
