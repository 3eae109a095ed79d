"""The shape of what a data set holds, as far as a spec tells without opening it."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from repro.spec.autoencoder import AutoencoderKl, TrainedAutoencoderKl, UntrainedAutoencoderKl
from repro.spec.data import (
    Bimodal,
    Checkerboard,
    Cifar10,
    Dataset,
    Digits,
    FashionMnist,
    ImageNetFolder,
    Latents,
    StandIn,
    Stl10,
    SwissRoll,
)

MAX_DOUBLINGS = 32
LEAST_GRID = 9
"""The fewest patches a side of a masked autoencoder: halved three times, they are two. A map of one
place has no deviation, and group normalization leaves nothing of it.
"""
SHAPES: Mapping[type, tuple[int, int]] = {
    Cifar10: (32, 3),
    FashionMnist: (28, 1),
    Stl10: (96, 3),
}
SIZES: Mapping[tuple[type, str], int] = {
    (Cifar10, "train"): 50_000,
    (Cifar10, "test"): 10_000,
    (FashionMnist, "train"): 60_000,
    (FashionMnist, "test"): 10_000,
    (Stl10, "train"): 5_000,
    (Stl10, "test"): 8_000,
    (Stl10, "train-and-test"): 13_000,
}


@frozen(kw_only=True)
class Layout:
    """Images, or latents: how large, how many kinds, how many."""

    height: int
    width: int
    channels: int
    num_classes: int
    num_images: int


def layout(data: Dataset) -> Layout | None:
    """The layout of a data set; None for points, and for files that must be opened first."""
    match data:
        case Cifar10() | FashionMnist() | Stl10():
            side, channels = SHAPES[type(data)]
            return _layout(side, channels, SIZES[type(data), data.split])
        case Digits():
            return _layout(8, 1, 1_797)
        case ImageNetFolder(crop_to=side):
            return _layout(side, 3, data.num_images, num_classes=data.num_classes)
        case Latents():
            return _latent_layout(data)
        case StandIn():
            return Layout(
                height=data.height,
                width=data.width,
                channels=data.channels,
                num_classes=data.num_classes,
                num_images=data.num_images,
            )
        case _:
            return None


def doublings(widths: Sequence[int]) -> int:
    """How often larger the finest map of a network is than its coarsest; a width a map."""
    return int(2 ** min(len(widths) - 1, MAX_DOUBLINGS))


def unfit_patches(patch: int, shape: Layout) -> str:
    """Why an autoencoder cannot cut such images into patches; nothing if it can."""
    if shape.height % patch or shape.width % patch:
        return f"{patch} pixels do not divide the sides"
    if min(shape.height, shape.width) < LEAST_GRID * patch:
        return f"expected at least {LEAST_GRID} patches of {patch} pixels a side"
    return ""


def holds_points(data: Dataset | None) -> bool:
    """Whether a data set holds 2-D points, not images."""
    return isinstance(data, Checkerboard | SwissRoll | Bimodal)


def holds_latents(data: Dataset | None) -> bool:
    """Whether a data set holds what a network sees in place of images, and no images."""
    return isinstance(data, Latents)


def reduction(autoencoder: Any) -> int | None:
    """How often larger the sides of an image are than those of its latent; None if not known."""
    match autoencoder:
        case (
            AutoencoderKl(architecture=layers)
            | UntrainedAutoencoderKl(architecture=layers)
            | TrainedAutoencoderKl(architecture=layers)
        ):
            return doublings(layers.channels)
        case _:
            return None


def encoded_sides(data: Latents) -> tuple[int, int] | None:
    """Height and width of the images as they are encoded; None if they must be opened first."""
    if data.enlarge_to is not None:
        return data.enlarge_to, data.enlarge_to
    shape = layout(data.images)
    return None if shape is None else (shape.height, shape.width)


def _latent_layout(data: Latents) -> Layout | None:
    shape, sides, factor = layout(data.images), encoded_sides(data), reduction(data.autoencoder)
    if shape is None or sides is None or factor is None:
        return None
    return Layout(
        height=sides[0] // factor,
        width=sides[1] // factor,
        channels=data.autoencoder.architecture.latent_channels,
        num_classes=shape.num_classes,
        num_images=shape.num_images,
    )


def _layout(side: int, channels: int, num_images: int, *, num_classes: int = 10) -> Layout:
    return Layout(
        height=side,
        width=side,
        channels=channels,
        num_classes=num_classes,
        num_images=num_images,
    )
