"""From numbers to the bytes of images."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.errors import RunError
from repro.spec.sample import Quantisation


def quantise(images: Tensor, *, rule: Quantisation = "round-half-even") -> NDArray[np.uint8]:
    """Images [B, C, H, W] as bytes [B, H, W, C]: clamped to [-1, 1], then rounded or truncated.

    Raises:
        RunError: when a value is not finite; a byte would hide it.
    """
    if not all(math.isfinite(each) for each in images.aminmax()):
        msg = (
            "sample: a sampled image is not finite; the network diverged in training, or its "
            "sampler needs clip = true"
        )
        raise RunError(msg)
    scaled = (images + 1).mul_(127.5).clamp_(0, 255)
    whole = (scaled.round_() if rule == "round-half-even" else scaled.floor_()).to(torch.uint8)
    pixels: NDArray[np.uint8] = torch.stack(whole.unbind(1), dim=-1).cpu().numpy()
    return pixels
