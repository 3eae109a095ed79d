"""Stored images as training sees them."""

import numpy as np
import torch
from torch import Tensor


def signed(images: np.ndarray) -> Tensor:
    """uint8 images [B, H, W, C] as float32 [B, C, H, W] in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def draw_indices(num_available: int, num: int, *, generator: torch.Generator) -> np.ndarray:
    """*num* indices below *num_available*, all different while there are enough of them."""
    if num <= num_available:
        return torch.randperm(num_available, generator=generator)[:num].numpy()
    return torch.randint(num_available, (num,), generator=generator).numpy()
