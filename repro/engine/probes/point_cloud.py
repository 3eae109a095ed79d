"""Generated points beside real ones: how far apart the two clouds are, and how they look."""

import io
import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from repro.engine.datasets import Points
from repro.engine.probes.probe import Findings, Left, Subject, Value
from repro.engine.randomness import draw, randomness_of
from repro.engine.seeds import seeded
from repro.errors import RunError
from repro.metrics.energy import energy_distance
from repro.spec.probes.point_cloud import PointCloud

SIDE = 384
"""Pixels of the picture."""
MARGIN = 0.1
REAL, GENERATED = (150, 150, 150), (200, 30, 30)


def point_cloud(spec: PointCloud, subject: Subject) -> Findings:
    """Draw both clouds and measure their distance, part by part.

    Raises:
        RunError: when the training was on images.
    """
    law = subject.data()
    if not isinstance(law, Points):
        raise RunError("probe: point-cloud looks at points, but the training was on images")
    num = spec.num_parts * spec.part_size
    randomness = randomness_of(subject.training.network, law.shape)
    (noise,) = draw(randomness, num, generator=seeded("probe", spec.seed, "noise"))
    with torch.no_grad():
        made = subject.network()(noise.to(subject.device)).cpu().numpy()
    real, other = (
        law.draw(num, seeded("probe", spec.seed, name)).numpy() for name in ("real", "other")
    )
    return Findings(
        values=(
            distance("energy_distance", made, real, num_parts=spec.num_parts),
            distance("energy_distance_of_reals", other, real, num_parts=spec.num_parts),
        ),
        files=(
            Left(
                role="points",
                name="points.safetensors",
                data=save({"generated": made, "real": real}),
            ),
            Left(
                role="cloud",
                name="cloud.png",
                data=picture(real, made),
                media_type="image/png",
            ),
        ),
        protocol={"law": law.digest},
    )


def distance(
    metric: str, first: NDArray[np.float32], second: NDArray[np.float32], *, num_parts: int
) -> Value:
    """The mean over parts, and its error; the parts are independent of each other."""
    found = [
        energy_distance(*(each.astype(np.float64) for each in pair))
        for pair in zip(
            np.array_split(first, num_parts), np.array_split(second, num_parts), strict=True
        )
    ]
    return Value(
        metric=metric,
        value=float(np.mean(found)),
        num=len(first),
        unit="of a coordinate",
        se=float(np.std(found, ddof=1)) / math.sqrt(num_parts),
        se_kind="over parts",
    )


def picture(real: NDArray[np.float32], generated: NDArray[np.float32]) -> bytes:
    """Both clouds in one square, the generated over the real; a PNG."""
    both = np.concatenate([real, generated])
    middle, half = (both.max(0) + both.min(0)) / 2, np.ptp(both, axis=0).max() / 2 * (1 + MARGIN)
    drawn = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for points, colour in ((real, REAL), (generated, GENERATED)):
        places = ((points - middle) / (2 * max(half, 1e-12)) + 0.5) * (SIDE - 1)
        columns, rows = np.clip(np.rint(places), 0, SIDE - 1).astype(int).T
        drawn[SIDE - 1 - rows, columns] = colour
    file = io.BytesIO()
    Image.fromarray(drawn).save(file, "PNG")
    return file.getvalue()
