"""Stored images, or latents in their place, as training sees them."""

import math

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

from repro.engine.datasets import EncodedImages, Images

MOST_ASPECT = 4 / 3
CROP_TRIES = 10


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


def draw_indices(num_available: int, num: int, *, generator: Generator) -> np.ndarray:
    """*num* indices below *num_available*, all different while there are enough of them."""
    if num <= num_available:
        return torch.randperm(num_available, generator=generator)[:num].numpy()
    return torch.randint(num_available, (num,), generator=generator).numpy()


def augmented(images: Tensor, *, least_area: float, flip: bool, generator: Generator) -> Tensor:
    """Images [B, C, H, W] in [-1, 1], cropped where *least_area* is below 1, mirrored by *flip*."""
    if least_area < 1:
        images = random_crops(images, least_area=least_area, generator=generator)
    return random_mirrors(images, generator=generator) if flip else images


def random_crops(images: Tensor, *, least_area: float, generator: Generator) -> Tensor:
    """A random part of each image [B, C, H, W] in [-1, 1], enlarged to the size of the image.

    Its area is uniform from *least_area* to 1, the logarithm of its aspect ratio uniform between
    those of 3/4 and 4/3, its place uniform; a part that the image does not hold is drawn again, ten
    times at most, and is then the whole image (torchvision's `RandomResizedCrop`). Places between
    pixels are interpolated by a bicubic of the whole image.
    """
    num, device = len(images), images.device
    draw = torch.rand((4, CROP_TRIES, num), generator=generator)
    area = least_area + (1 - least_area) * draw[0]
    aspect = torch.exp(math.log(MOST_ASPECT) * (2 * draw[1] - 1))
    sides = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()])
    fits = (sides <= 1).all(dim=0)
    first = fits.to(torch.uint8).argmax(dim=0)
    chosen = torch.where(fits.any(dim=0), sides[:, first, torch.arange(num)], 1.0)
    centres = (1 - chosen) * (2 * draw[2:, 0] - 1)  # in [-1, 1]: where a part of that size may lie
    maps = torch.zeros(num, 2, 3)
    maps[:, [0, 1], [0, 1]] = chosen.T
    maps[:, :, 2] = centres.T
    grid = affine_grid(maps.to(device), list(images.shape), align_corners=False)
    crops = grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return crops.clamp_(-1, 1)


def random_mirrors(images: Tensor, *, generator: Generator) -> Tensor:
    """Each image [B, C, H, W] as it is, or with left and right exchanged, as a fair coin says."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(3), images)
