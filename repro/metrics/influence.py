"""Standard errors from influence values: one number an image, stored beside each measurement.

A metric of n independent images moves by about psi_i / n when image i is counted once more, so its
standard error is sd(psi) / sqrt(n). Image i of two sets that share seeds and labels was made from
the same noise; then the difference of the metrics has the far smaller error of the paired values.
The reference is held fixed.
"""

import math

import numpy as np
from numpy.typing import NDArray

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
