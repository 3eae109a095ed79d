"""What a set of images is called: by its pixels, whatever the order and the file format."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from repro.digest import sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def image_names(images: "NDArray[np.uint8]") -> list[str]:
    """A digest of shape and pixels for each of the images [N, H, W, C]."""
    shape = str(images.shape[1:]).encode()
    return [hashlib.sha256(shape + image.tobytes()).hexdigest() for image in images]


def set_digest(names: Iterable[str]) -> str:
    """The digest of a set from the names of its images."""
    return sha256("\n".join(sorted(names)).encode())


def pairing(sources: "NDArray[np.int64]", labels: "NDArray[np.int64]") -> str:
    """Two sets with equal pairing have image i from the same noise and the same label."""
    return sha256(sources.tobytes() + labels.tobytes())
