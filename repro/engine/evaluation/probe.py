"""The known-answer probe: four images whose standard features are known.

The images are made by integer arithmetic, so they need no file. An honest float32 evaluator is
within 8e-6 of the expected features; TF32, bf16, another resize or normalisation, truncated input
or a kernel off by one percent are beyond 8e-3 on the worst image. No flag can fake that.
"""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

Images = NDArray[np.uint8]
Grid = NDArray[np.int64]

EXPECTED_FILE: Final = "inception_probe.safetensors"


@cache
def probe_images() -> tuple[Images, ...]:
    """Four images [H, W, 3] of 32, 32, 64 and 299 pixels."""
    return tuple(
        _image(formula, size)
        for formula, size in ((_tiles, 32), (_noise, 32), (_circles, 64), (_slopes, 299))
    )


@cache
def expected_features() -> NDArray[np.float32]:
    """Their pool3 features [4, 2048]: torch-fidelity's network, eager, float32, on a CPU."""
    data = files("repro.engine.evaluation").joinpath(EXPECTED_FILE).read_bytes()
    features: NDArray[np.float32] = load(data)["features"]
    return features


def deviation(extract: Callable[[Images], NDArray[np.float32]]) -> float:
    """Largest absolute difference from the expected features; infinite if any is not finite.

    *extract* takes images [1, H, W, 3] to features [1, 2048], as it does for the real images.
    """
    found = np.concatenate([extract(image[None]) for image in probe_images()])
    largest = float(np.abs(found.astype(np.float64) - expected_features()).max())
    return largest if np.isfinite(largest) else float("inf")


def _image(formula: Callable[[Grid, Grid, Grid], Grid], size: int) -> Images:
    y, x, c = np.ogrid[0:size, 0:size, 0:3]
    return formula(y, x, c).astype(np.uint8)


def _tiles(y: Grid, x: Grid, c: Grid) -> Grid:
    return np.asarray((8 * x + 5 * y * (c + 1) + 64 * ((x // 4 + y // 4) % 2)) % 256)


def _noise(y: Grid, x: Grid, c: Grid) -> Grid:
    state = 3 * (y * x.size + x) + c + 12345
    for _ in range(2):
        state = (1664525 * state + 1013904223) % 2**32
    return state >> 24


def _circles(y: Grid, x: Grid, c: Grid) -> Grid:
    return np.asarray((((x - 32) ** 2 + (y - 32) ** 2) // (4 + 2 * c) + 40 * c) % 256)


def _slopes(y: Grid, x: Grid, c: Grid) -> Grid:
    return np.asarray((3 * x * (c + 1) // 4 + y * (3 - c) // 2 + (x * y) // 97) % 256)
