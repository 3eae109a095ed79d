"""Images and an extractor that are cheap to make; no two images are alike."""

from typing import Any

import numpy as np
import torch

from repro.engine.evaluation.extractor import Extractor
from repro.engine.evaluation.images import Images

SIZE = 12
"""Features of the cheap extractor."""


def some_images(count: int, *, seed: int, size: int = 12, channels: int = 3) -> Images:
    shape = (count, size, size, channels)
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def cheap_extractor(**facts: Any) -> Extractor:
    """Means of 2 x 2 tiles and channels instead of a network; the facts are those of a real one."""
    random = np.random.RandomState(0)
    return Extractor(
        pool3=lambda batch: torch.nn.functional.adaptive_avg_pool2d(batch, 2).flatten(1),
        classifier=random.standard_normal((9, SIZE)).astype(np.float32),
        device="cpu",
        facts={
            "name": "inception-v3-compat",
            "weights": "none",
            "weights_digest": "sha256:0",
            "code": {},
            "dtype": "float32",
            "device": "cpu",
            "tf32": False,
            "autocast": False,
            "backend": "torch",
            "layer": "2048",
            **facts,
        },
    )
