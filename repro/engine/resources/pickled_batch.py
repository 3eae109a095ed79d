"""Read the Python 2 pickles of CIFAR-10 (the "python version") without running anything of them.

Their arrays and dtypes become inert records; every other name in the pickle is refused.
"""

import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_batch(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Planes uint8 [N, 3, 32, 32] and labels int64 [N] of one file.

    Raises:
        ValueError: when the pickle is damaged, calls anything, or is not of such a file.
    """
    try:
        batch = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        planes, labels = batch[b"data"].array, batch[b"labels"]
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
    ) as error:
        msg = f"not a batch of images: {error!r}"
        raise ValueError(msg) from error
    return planes.reshape(-1, 3, 32, 32), np.asarray(labels, np.int64)


class _Dtype:
    def __init__(self, *_: Any) -> None:
        """Any dtype: only bytes fit the images, and the pinned digest knows them."""

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like."""


class _Array:
    def __init__(self, *_: Any) -> None:
        self.array = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, _, _, content = state
        self.array = np.frombuffer(content, np.uint8).reshape(shape)


KNOWN: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Dtype,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            msg = f"refused to load {module}.{name}"
            raise pickle.UnpicklingError(msg)
        return KNOWN[module, name]
