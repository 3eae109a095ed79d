"""Facts of a set of images as it is measured: how many, how many different, of which size."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from repro.errors import RunError
from repro.metrics.image_set import image_names, set_digest

Images = NDArray[np.uint8]
Quantisation = Literal["stored", "round-half-even", "truncate"]


def check_images(images: Images) -> None:
    """Refuse what is not a set of two or more 8-bit images of one size.

    Raises:
        RunError: naming what was found. Floats are refused: scaling them would be a guess.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        msg = (
            f"images to measure are uint8 [N, H, W, 1 or 3], got {images.dtype} "
            f"{list(images.shape)}; quantise and stack them first"
        )
        raise RunError(msg)
    if len(images) < 2:
        msg = f"a set to measure has two images or more, got {len(images)}"
        raise RunError(msg)


def image_facts(images: Images, *, quantisation: Quantisation) -> dict[str, Any]:
    """Count, number of different images, size, channels, and how the bytes came about."""
    names = image_names(images)
    return {
        "count": len(images),
        "unique": len(set(names)),
        "sizes": [[int(images.shape[1]), int(images.shape[2])]],
        "channels": int(images.shape[3]),
        "lossless": True,  # what reads and writes images here knows no other
        "quantisation": quantisation,
        "set_digest": set_digest(names),
    }
