"""Standard errors from influence values: one number an image, stored beside each measurement.

A metric of n independent images moves by about psi_i / n when image i is counted once more, so its
standard error is sd(psi) / sqrt(n). Image i of two sets that share seeds and labels was made from
the same noise; then the difference of the metrics has the far smaller error of the paired values.
The reference is held fixed.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from repro.errors import IntegrityError

Floats = NDArray[np.float64]


def standard_error(influence: NDArray[np.floating]) -> float:
    """The standard error of a metric from its influence values [n]."""
    if len(influence) < 2:
        return math.inf
    return float(influence.std(ddof=1) / math.sqrt(len(influence)))


def paired_standard_error(first: Floats, second: Floats) -> float:
    """The standard error of a difference where image i of both sets shares seed and label.

    Raises:
        ValueError: for sets of different size, which cannot be paired.
    """
    if first.shape != second.shape:
        msg = f"paired sets have one size, got {len(first)} and {len(second)} images"
        raise ValueError(msg)
    return standard_error(second - first)


def unpaired_standard_error(first: float, second: float) -> float:
    """The standard error of a difference of two independent metrics, from the error of each."""
    return math.hypot(first, second)


def encode_influences(influences: Mapping[str, NDArray[np.floating]]) -> bytes:
    """The bytes of a safetensors file with the influence values [n] of each metric."""
    return save({name: np.ascontiguousarray(each) for name, each in influences.items()})


def read_influence(path: Path, *, metric: str) -> Floats:
    """The influence values [n] of one metric, from such a file.

    Raises:
        IntegrityError: if it is no such file, or does not have the metric.
    """
    try:
        return np.asarray(load_file(path)[metric], np.float64)
    except (OSError, SafetensorError, KeyError) as error:
        msg = f"{path}: holds no influence values of {metric} ({error}); evaluate again"
        raise IntegrityError(msg) from error
