"""Small images as large ones."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def enlarged(images: NDArray[np.uint8], side: int | None) -> NDArray[np.uint8]:
    """uint8 images [N, H, W, 3], bicubic to *side* x *side* if that is given."""
    if side is None or images.shape[1:3] == (side, side):
        return images
    size, how = (side, side), Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(each).resize(size, how)) for each in images])
