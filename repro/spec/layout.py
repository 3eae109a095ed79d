"""The shape of what a data set holds, as far as a spec tells without opening it."""

from collections.abc import Sequence

from attrs import frozen

from repro.spec.data import (
    Checkerboard,
    Cifar10,
    Dataset,
    Digits,
    FashionMnist,
    StandIn,
    SwissRoll,
)

MAX_DOUBLINGS = 32
LEAST_GRID = 9
"""The fewest patches a side of an autoencoder: halved three times, they are two. A map of one place
has no deviation, and group normalization leaves nothing of it.
"""
SIZES = {
    (Cifar10, "train"): 50_000,
    (Cifar10, "test"): 10_000,
    (FashionMnist, "train"): 60_000,
    (FashionMnist, "test"): 10_000,
}


@frozen(kw_only=True)
class Layout:
    """Images: how large, how many kinds, how many."""

    height: int
    width: int
    channels: int
    num_classes: int
    num_images: int


def layout(data: Dataset) -> Layout | None:
    """The layout of a data set; None for points, and for files that must be opened first."""
    match data:
        case Cifar10():
            return _layout(32, 3, SIZES[Cifar10, data.split])
        case FashionMnist():
            return _layout(28, 1, SIZES[FashionMnist, data.split])
        case Digits():
            return _layout(8, 1, 1_797)
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
    return isinstance(data, Checkerboard | SwissRoll)


def _layout(side: int, channels: int, num_images: int) -> Layout:
    return Layout(height=side, width=side, channels=channels, num_classes=10, num_images=num_images)
