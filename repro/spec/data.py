"""Where images (or points) come from."""

from typing import ClassVar, Literal

from attrs import field, frozen

from repro.spec.autoencoder import Autoencoder
from repro.spec.fields import (
    MAX_IMAGES,
    MAX_SIDE,
    above,
    added,
    between,
    content_digest,
    count,
    image_channels,
    location,
    non_negative,
    pin,
    positive,
    random_seed,
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
class Stl10:
    """The labelled part of STL-10: 5,000 training and 8,000 test images, 96 x 96, RGB, ten classes.

    `train-and-test` is both, as some trainings take them; nothing is then left to measure by.
    """

    kind: ClassVar = "stl10"

    split: Literal["train", "test", "train-and-test"] = "train"


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
class Bimodal:
    """Points of two Gaussians on the first axis, *distance* apart, of deviation *noise* each."""

    kind: ClassVar = "bimodal"

    distance: float = positive(default=5.0)
    noise: float = non_negative(default=0.35)


@frozen(kw_only=True)
class ImageFolder:
    """A folder of lossless images of one size; sub-folders, sorted by name, are the classes.

    `digest` pins the decoded content, so that the identity does not hang on a path.
    """

    kind: ClassVar = "image-folder"

    path: str = location()
    digest: str = content_digest()


@frozen(kw_only=True)
class ImageNetFolder:
    r"""Photographs in sub-folders, one a class, sorted by name: the layout of ImageNet.

    JPEG, of any size, is allowed: this is for training data, of which no pixel is measured. Each
    image is cropped at its centre to `crop_to` x `crop_to` RGB, as guided diffusion does it
    (Dhariwal & Nichol 2021). `digest` pins the bytes of all files: it is the SHA-256 digest of what
    `sha256sum` prints for them in the order of their paths. In a folder that holds nothing else

        find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum

    prints it; until it is known, `unpinned` stands there, and nothing runs but a rehearsal.
    `num_classes` and `num_images` say what to expect; the defaults are those of ImageNet's training
    set, whose validation set has 50,000 images (sort them into classes first).
    """

    kind: ClassVar = "imagenet-folder"

    path: str = location()
    digest: str = pin()
    crop_to: int = side(default=256)
    num_classes: int = count(default=1000)
    num_images: int = count(default=1_281_167, most=MAX_IMAGES)


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


ImageSet = (
    Cifar10 | FashionMnist | Stl10 | Digits | ImageFolder | ImageNetFolder | TensorFile | StandIn
)
"""Whatever holds pixels."""


@frozen(kw_only=True)
class RandomCrops:
    """`num` random parts of each image, of at least `least_area` of it, as large again."""

    num: int = count(default=8, rehearsal=2)
    least_area: float = field(default=0.2, validator=[above(0), between(0, 1)])


@frozen(kw_only=True)
class Latents:
    """Images encoded once, before training: `scaling_factor` times a draw from each posterior.

    With `flips` an image and its mirror image are encoded, and training takes either at random.
    With `random_crops` so many parts of the image are encoded in its place (Deng et al. 2026 crop
    before they encode for their masked autoencoders, every time anew; here each latent is kept).
    `posterior` says whether the latent is drawn, from a generator of the image's own that `seed`
    and its number make, or is the mean. Images are enlarged to `enlarge_to` pixels a side first
    (bicubic), if that is given.
    """

    kind: ClassVar = "latents"

    images: ImageSet
    autoencoder: Autoencoder
    enlarge_to: int | None = count(default=None, most=MAX_SIDE)
    posterior: Literal["sample", "mean"] = "sample"
    flips: bool = True
    scaling_factor: float = positive(default=0.18215)
    seed: int = random_seed(default=0)
    random_crops: RandomCrops | None = added(None)


Dataset = (
    Cifar10
    | FashionMnist
    | Stl10
    | Digits
    | Checkerboard
    | SwissRoll
    | Bimodal
    | ImageFolder
    | ImageNetFolder
    | TensorFile
    | StandIn
    | Latents
)
