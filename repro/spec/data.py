"""Where images (or points) come from."""

from typing import ClassVar, Literal

from attrs import frozen

from repro.spec.fields import (
    MAX_IMAGES,
    content_digest,
    count,
    image_channels,
    location,
    non_negative,
    side,
)


@frozen(kw_only=True)
class Cifar10:
    """CIFAR-10: 50,000 training and 10,000 test images, 32 x 32, RGB, ten classes."""

    kind: ClassVar = "cifar10"

    split: Literal["train", "test"] = "train"


@frozen(kw_only=True)
class FashionMnist:
    """Fashion-MNIST: 60,000 training and 10,000 test images, 28 x 28, grey, ten classes."""

    kind: ClassVar = "fashion-mnist"

    split: Literal["train", "test"] = "train"


@frozen(kw_only=True)
class Digits:
    """scikit-learn's 1,797 handwritten digits, 8 x 8, grey, ten classes."""

    kind: ClassVar = "digits"


@frozen(kw_only=True)
class Checkerboard:
    """Points on a 2-D checkerboard with Gaussian blur, drawn afresh (the drifting paper's toy)."""

    kind: ClassVar = "checkerboard"

    noise: float = non_negative(default=0.05)


@frozen(kw_only=True)
class SwissRoll:
    """Points on a 2-D spiral with Gaussian blur, drawn afresh (the drifting paper's toy)."""

    kind: ClassVar = "swiss-roll"

    noise: float = non_negative(default=0.03)


@frozen(kw_only=True)
class ImageFolder:
    """A folder of lossless images of one size; sub-folders, sorted by name, are the classes.

    `digest` pins the decoded content, so that the identity does not hang on a path.
    """

    kind: ClassVar = "image-folder"

    path: str = location()
    digest: str = content_digest()


@frozen(kw_only=True)
class TensorFile:
    """A safetensors file: `images` (uint8, [N, H, W, C]), optionally `labels` (int64, [N])."""

    kind: ClassVar = "tensor-file"

    path: str = location()
    digest: str = content_digest()


@frozen(kw_only=True)
class StandIn:
    """Integer-arithmetic images in the layout of a real data set; rehearsals train on them."""

    kind: ClassVar = "stand-in"

    height: int = side(default=32)
    width: int = side(default=32)
    channels: int = image_channels(default=3)
    num_classes: int = count(default=10)
    num_images: int = count(default=256, most=MAX_IMAGES)


Dataset = (
    Cifar10 | FashionMnist | Digits | Checkerboard | SwissRoll | ImageFolder | TensorFile | StandIn
)
