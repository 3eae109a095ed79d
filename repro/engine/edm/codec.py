"""What a network sees in the place of an image: the image, or its scales as points of circles.

The channels of a scale are a block, and all blocks are of equal size, the finest scale first.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from repro.spec.edm import Codec, TorusPyramid

HALF_TURN = math.pi / 2


def seen_shape(objective: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of what a network sees of an example of *shape*; most objectives show it as it is.

    An objective with a `codec` shows it encoded.
    """
    codec = getattr(objective, "codec", None)
    if not isinstance(codec, TorusPyramid):
        return tuple(shape)
    channels, *sides = shape
    return (2 * len(codec.factors) * channels, *sides)


def encode(codec: Codec, images: Tensor) -> Tensor:
    """Images [B, C, H, W] in [-1, 1] as the network sees them."""
    if not isinstance(codec, TorusPyramid):
        return images
    return torch.cat([_on_circle(_coarse(images, each)) for each in codec.factors], dim=1)


def decode(codec: Codec, state: Tensor) -> Tensor:
    """The images of a state: those of its first scale; what lies off the circle may exceed 1."""
    if not isinstance(codec, TorusPyramid):
        return state
    cosines, sines = state.chunk(len(codec.factors), dim=1)[0].chunk(2, dim=1)
    return torch.atan2(sines, cosines) / HALF_TURN


def on_channels(levels: Tensor, state: Tensor) -> Tensor:
    """A value for each scale [B, G] as a value for each channel of *state* [B, C, 1, 1]."""
    each = state.shape[1] // levels.shape[1]
    return levels.repeat_interleave(each, dim=1)[..., None, None]


def scales_of(codec: Codec) -> tuple[str, ...]:
    """A name for each scale: by how much it is coarser."""
    factors = codec.factors if isinstance(codec, TorusPyramid) else (1,)
    return tuple(f"scale-{factor}" for factor in factors)


def _coarse(images: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return images
    return interpolate(avg_pool2d(images, factor), scale_factor=factor, mode="nearest")


def _on_circle(values: Tensor) -> Tensor:
    angles = HALF_TURN * values.clamp(-1, 1)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
