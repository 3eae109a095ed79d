"""Images of the same seeds at every checkpoint, and four numbers that a look may deceive about."""

import numpy as np
from numpy.typing import NDArray

from repro.engine.probes.probe import Findings, Left, Subject, Value
from repro.engine.sheet import sheet
from repro.spec.probes.fixed_seed_grid import FixedSeedGrid

MOST_IMAGES = 1024
"""More are counted, but not drawn."""


def fixed_seed_grid(spec: FixedSeedGrid, subject: Subject) -> Findings:
    """Draw the samples in rows of `columns`, and say how bright, saturated and varied they are."""
    made = subject.samples()
    return Findings(
        values=appearance(made.images),
        files=(
            Left(
                role="grid",
                name="grid.png",
                data=sheet(made.images, columns=spec.columns, most=MOST_IMAGES),
                media_type="image/png",
            ),
        ),
        facts={"labels": made.labels[:MOST_IMAGES].tolist()},
    )


def appearance(images: NDArray[np.uint8]) -> tuple[Value, ...]:
    """Of bytes [N, H, W, C] as numbers from 0 to 1: mean, deviation, saturation and spread.

    `saturated` is the part of all values that are 0 or 255, `spread` the root mean square distance
    of two different images a value, which is 0 when all are one image.
    """
    num = len(images)
    values = images.reshape(num, -1).astype(np.float64) / 255
    apart = 2 * values.var(axis=0).mean() * num / max(1, num - 1)
    found = {
        "pixel_mean": values.mean(),
        "pixel_std": values.std(),
        "saturated": np.isin(images, (0, 255)).mean(),
        "spread": np.sqrt(apart),
    }
    return tuple(
        Value(metric=name, value=float(each), num=num, unit="of the range of a byte")
        if name != "saturated"
        else Value(metric=name, value=float(each), num=num, unit="fraction")
        for name, each in found.items()
    )
