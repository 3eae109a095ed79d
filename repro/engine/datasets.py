"""Every data set of a spec as arrays: uint8 images [N, H, W, C] with labels, or a law of points.

Nothing here needs torch but the drawing of points. Data that must be fetched is read from the cache
only; `repro.engine.resources` brings it there.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from repro import digest
from repro.engine import resources
from repro.engine.image_folder import read_folder
from repro.engine.photo_folder import Crops, index_folder
from repro.engine.resources.tensors import read_tensors, tensors_digest
from repro.errors import ResourceError
from repro.spec.data import (
    Bimodal,
    Checkerboard,
    Cifar10,
    Dataset,
    Digits,
    FashionMnist,
    ImageFolder,
    ImageNetFolder,
    StandIn,
    Stl10,
    SwissRoll,
    TensorFile,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor

DIGITS_DIGEST = "sha256:ba1ef3342ab20e02a8f081c7ced5300cbac72fa7bbe05e3947debacb8792df83"
STL10_PARTS = ("train", "test")


class ImageArray(Protocol):
    """uint8 images [N, H, W, C]: an array, or what reads only the images that are taken."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any, /) -> NDArray[np.uint8]: ...


@frozen(kw_only=True, eq=False)
class Images:
    """Images and their classes, in a fixed order that the digest covers.

    `images` is uint8 [N, H, W, C], `labels` int64 [N] from 0 to `num_classes` - 1. `notes` says, a
    line each, what a person should know of the data.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    num_classes: int
    digest: str
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """One image as networks see it: channels, height, width."""
        height, width, channels = self.images.shape[1:]
        return channels, height, width


@frozen(kw_only=True, eq=False)
class EncodedImages:
    """The latents of images, and the classes of these, in the order of the images.

    `shards` are float32 [n, V, c, h, w] with V views of every image (itself or parts of it, and
    their mirror images), all shards but the last as long as the first; they stay on the disk until
    they are read. The digest is that of the manifest that lists them.
    """

    shards: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64]
    num_classes: int
    digest: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """One latent as networks see it: channels, height, width."""
        channels, height, width = self.shards[0].shape[2:]
        return channels, height, width


@frozen(kw_only=True, eq=False)
class Points:
    """A law on the plane: `draw(n, generator)` gives fresh float32 points [n, 2], on the CPU."""

    draw: "Callable[[int, Generator], Tensor]"
    digest: str
    num_classes: int = 1

    @property
    def shape(self) -> tuple[int]:
        """One point as networks see it."""
        return (2,)


def load(spec: Dataset, *, cache: Path) -> Images | Points:
    """The data that a spec names.

    Raises:
        ResourceError: when it is not there, is damaged, or is not what the spec pins.
    """
    return LOADERS[type(spec)](spec, cache)


def checkerboard(n: int, generator: "Generator", *, noise: float) -> "Tensor":
    """The eight filled squares of a 4 x 4 board on [-1, 1]^2, blurred (drifting notebook).

    With fair bits b, i, j and uniform u, v: ((2i + b + u) - 2, (2j + b + v) - 2) / 2.
    """
    import torch

    bits = torch.randint(0, 2, (n, 3), generator=generator)
    corner = 2 * bits[:, :2] + bits[:, 2:]
    inside = torch.rand((n, 2), generator=generator)
    return (corner + inside - 2) / 2 + noise * torch.randn((n, 2), generator=generator)


def swiss_roll(n: int, generator: "Generator", *, noise: float) -> "Tensor":
    """A spiral t (cos t, sin t), t uniform on [pi/2, 9 pi/2], scaled to reach 1, blurred.

    The drifting notebook scales by the largest coordinate of the batch. Its supremum 9 pi/2 takes
    that place here, so that a point does not depend on the others drawn with it.
    """
    import torch

    t = math.pi / 2 + 4 * math.pi * torch.rand(n, generator=generator)
    spiral = torch.stack([t * torch.cos(t), t * torch.sin(t)], dim=1) / (4.5 * math.pi)
    return spiral + noise * torch.randn((n, 2), generator=generator)


def bimodal(n: int, generator: "Generator", *, distance: float, noise: float) -> "Tensor":
    """Either of (-distance / 2, 0) and (distance / 2, 0), by a fair coin, blurred."""
    import torch

    side = torch.randint(0, 2, (n, 1), generator=generator) - 0.5
    return distance * side * torch.tensor([1.0, 0.0]) + noise * torch.randn(
        (n, 2), generator=generator
    )


def _points(spec: Checkerboard | SwissRoll | Bimodal, law: "Callable[..., Tensor]") -> Points:
    facts = {"kind": spec.kind, **asdict(spec)}
    return Points(draw=partial(law, **asdict(spec)), digest=digest.sha256(digest.canonical(facts)))


def _images(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    num_classes: int,
    notes: Sequence[str] = (),
) -> Images:
    return Images(
        images=images,
        labels=labels,
        num_classes=num_classes,
        digest=tensors_digest({"images": images, "labels": labels}),
        notes=tuple(notes),
    )


def _fetched(name: str, split: str, *, cache: Path) -> Images:
    tensors = resources.read(name, split, cache=cache)
    return Images(
        images=tensors["images"],
        labels=tensors["labels"],
        num_classes=10,
        digest=resources.TABLE[name].digests[split],
    )


def _stl10(spec: Stl10, cache: Path) -> Images:
    """One part, or both one after the other; their content is digested as it is read."""
    names = STL10_PARTS if spec.split == "train-and-test" else (spec.split,)
    parts = [resources.read("stl10", name, cache=cache) for name in names]
    return _images(
        np.concatenate([each["images"] for each in parts]),
        np.concatenate([each["labels"] for each in parts]),
        num_classes=10,
    )


def _digits() -> Images:
    """The sixteen grey levels above black are spread over 0 to 255, rounded half to even."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    levels = bunch.images[..., None]
    data = _images(
        np.rint(levels * (255 / 16)).astype(np.uint8),
        bunch.target.astype(np.int64),
        num_classes=10,
    )
    if data.digest != DIGITS_DIGEST:
        msg = f"scikit-learn's digits: expected content {DIGITS_DIGEST}, got {data.digest}"
        raise ResourceError(msg)
    return data


def _image_folder(spec: ImageFolder) -> Images:
    folder = read_folder(Path(spec.path))
    data = _images(folder.images, folder.labels, num_classes=folder.num_classes, notes=folder.notes)
    return _pinned(data, spec)


def _imagenet_folder(spec: ImageNetFolder, cache: Path) -> Images:
    folder = index_folder(Path(spec.path), cache=cache)
    found = {"num_images": len(folder.photos), "num_classes": folder.num_classes}
    data = Images(
        images=Crops(folder.photos, spec.crop_to),
        labels=np.array([each.label for each in folder.photos], np.int64),
        num_classes=folder.num_classes,
        digest=folder.digest,
    )
    other = [
        f"{spec.path}: {name}: the spec says {getattr(spec, name)}, the folder has {value}"
        for name, value in found.items()
        if getattr(spec, name) != value
    ]
    if other:
        raise ResourceError(*other)
    return _pinned(data, spec)


def _tensor_file(spec: TensorFile) -> Images:
    path = Path(spec.path)
    if not path.is_file():
        msg = f"{path}: no such file (expected a safetensors file with `images` and `labels`)"
        raise ResourceError(msg)
    tensors = read_tensors(path)
    images = tensors.get("images")
    if images is None or images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        msg = f"{path}: `images`: expected uint8 [N, H, W, C], got {_layout(images)}"
        raise ResourceError(msg)
    labels = tensors.get("labels", np.zeros(len(images), np.int64))
    if labels.dtype != np.int64 or labels.shape != images.shape[:1] or labels.min() < 0:
        msg = f"{path}: `labels`: expected int64 [{len(images)}] from 0, got {_layout(labels)}"
        raise ResourceError(msg)
    return _pinned(_images(images, labels, num_classes=int(labels.max()) + 1), spec)


def _layout(value: NDArray[Any] | None) -> str:
    if value is None:
        return "nothing"
    low = f" from {value.min()}" if value.size else ""
    return f"{value.dtype.name} {list(value.shape)}{low}"


def _pinned(data: Images, spec: ImageFolder | ImageNetFolder | TensorFile) -> Images:
    if data.digest != spec.digest:
        msg = (
            f"{spec.path}: its content is {data.digest}, the spec pins {spec.digest}; restore the "
            "data, or write the new digest into the spec if the change is meant"
        )
        raise ResourceError(msg)
    return data


def _stand_in(spec: StandIn) -> Images:
    """Stripes whose direction tells the class, under noise that makes every image its own.

    Integer arithmetic modulo 256 and 2^32 only, so that every machine gives the same bytes.
    """
    shape = (spec.num_images, spec.height, spec.width, spec.channels)
    i, y, x, c = np.indices(shape, np.uint32, sparse=True)
    label = i % np.uint32(spec.num_classes)
    stripes = 16 * ((1 + label % 3) * x + (1 + label // 3) * y + c) + 5 * i
    noise = ((i * spec.height + y) * spec.width + x) * spec.channels + c + np.uint32(12345)
    for _ in range(2):
        noise = np.uint32(1664525) * noise + np.uint32(1013904223)
    images = (stripes + (noise >> np.uint32(27))) % 256
    return _images(
        images.astype(np.uint8),
        label.reshape(-1).astype(np.int64),
        num_classes=spec.num_classes,
    )


LOADERS: Mapping[type, Callable[[Any, Path], Images | Points]] = {
    Cifar10: lambda spec, cache: _fetched("cifar10", spec.split, cache=cache),
    FashionMnist: lambda spec, cache: _fetched("fashion-mnist", spec.split, cache=cache),
    Stl10: _stl10,
    Digits: lambda spec, cache: _digits(),
    ImageFolder: lambda spec, cache: _image_folder(spec),
    ImageNetFolder: _imagenet_folder,
    TensorFile: lambda spec, cache: _tensor_file(spec),
    StandIn: lambda spec, cache: _stand_in(spec),
    Checkerboard: lambda spec, cache: _points(spec, checkerboard),
    SwissRoll: lambda spec, cache: _points(spec, swiss_roll),
    Bimodal: lambda spec, cache: _points(spec, bimodal),
}
