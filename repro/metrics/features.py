"""The features of a set of images as a file: the evidence from which every value is recomputed."""

from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from repro.errors import IntegrityError


@frozen(kw_only=True, eq=False)
class Features:
    """pool3 features [n, 2048] and, where the last layer is known, logits [n, 1008]; float32."""

    pool3: NDArray[np.float32]
    logits: NDArray[np.float32] | None = None


def encode_features(features: Features) -> bytes:
    """The bytes of a safetensors file; equal features give equal bytes."""
    tensors = {"pool3": np.ascontiguousarray(features.pool3)}
    if features.logits is not None:
        tensors["logits"] = np.ascontiguousarray(features.logits)
    return save(tensors)


def read_features(path: Path) -> Features:
    """Read the file again.

    Raises:
        IntegrityError: if it is not a file of features.
    """
    try:
        tensors = load_file(path)
        return Features(pool3=tensors["pool3"], logits=tensors.get("logits"))
    except (OSError, SafetensorError, KeyError) as error:
        msg = f"{path}: not a file of features ({error})"
        raise IntegrityError(msg) from error
