"""Stored images, or latents in their place, as training sees them."""

import numpy as np
import torch
from torch import Tensor

from repro.engine.datasets import EncodedImages, Images


def examples(
    data: Images | EncodedImages, chosen: np.ndarray, *, generator: torch.Generator
) -> Tensor:
    """The *chosen* images [B, C, H, W] in [-1, 1], or latents, of a view that chance takes."""
    if isinstance(data, Images):
        return signed(data.images[chosen])
    views = torch.randint(data.shards[0].shape[1], (len(chosen),), generator=generator)
    return latents(data, chosen, views.numpy())


def latents(data: EncodedImages, chosen: np.ndarray, views: np.ndarray) -> Tensor:
    """The latents [B, c, h, w] of the *chosen* images, each of its own view."""
    shard, row = np.divmod(chosen, len(data.shards[0]))
    rows = zip(shard.tolist(), row.tolist(), views.tolist(), strict=True)
    return torch.from_numpy(np.stack([data.shards[s][r, view] for s, r, view in rows]))


def signed(images: np.ndarray) -> Tensor:
    """uint8 images [B, H, W, C] as float32 [B, C, H, W] in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def draw_indices(num_available: int, num: int, *, generator: torch.Generator) -> np.ndarray:
    """*num* indices below *num_available*, all different while there are enough of them."""
    if num <= num_available:
        return torch.randperm(num_available, generator=generator)[:num].numpy()
    return torch.randint(num_available, (num,), generator=generator).numpy()
