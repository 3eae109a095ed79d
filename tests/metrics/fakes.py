"""Small features and reference statistics in the layout of real ones."""

import numpy as np
from numpy.typing import NDArray

from repro.metrics import frechet
from repro.metrics.features import Features
from repro.metrics.reference import ReferenceStatistics


def points(count: int, *, seed: int, size: int = 6) -> NDArray[np.float32]:
    return np.asarray(np.random.RandomState(seed).standard_normal((count, size)), np.float32)


def small_features(count: int = 40, *, seed: int = 1) -> Features:
    return Features(
        pool3=points(count, seed=seed) * np.float32(1.2), logits=points(count, seed=seed, size=9)
    )


def small_reference(count: int = 60, *, num_features: int = 30) -> ReferenceStatistics:
    features = points(count, seed=0)
    return ReferenceStatistics(
        moments=frechet.moments(features),
        features=features[:num_features],
        facts={"count": count, "dataset": "fake", "resize": "tf1-bilinear-299"},
    )
