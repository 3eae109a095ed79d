"""Every data set of a spec: its arrays, and the digest that names their content."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from repro.engine import datasets, resources
from repro.engine.datasets import Images, Points, load
from repro.engine.resources.tensors import read_tensors, tensors_digest, write_tensors
from repro.errors import ResourceError
from repro.spec.data import (
    Bimodal,
    Checkerboard,
    Cifar10,
    Dataset,
    Digits,
    FashionMnist,
    ImageFolder,
    StandIn,
    SwissRoll,
    TensorFile,
)

NOWHERE = Path("/nonexistent")
UNKNOWN = f"sha256:{0:064}"


def images_of(spec: Dataset, *, cache: Path = NOWHERE) -> Images:
    data = load(spec, cache=cache)
    assert isinstance(data, Images)
    return data


def points_of(spec: Dataset, n: int, *, seed: int = 0) -> NDArray[np.float32]:
    data = load(spec, cache=NOWHERE)
    assert isinstance(data, Points)
    drawn: NDArray[np.float32] = data.draw(n, torch.Generator().manual_seed(seed)).numpy()
    return drawn


def test_stand_in_is_the_same_on_every_machine() -> None:
    """Integer arithmetic gives the bytes that are pinned here."""
    data = images_of(StandIn(height=8, width=6, channels=3, num_images=20))

    assert data.images.shape == (20, 8, 6, 3)
    assert data.digest == "sha256:d4123add0804b39c5feb101e42bc45e3d594d4198bb0625fb4c2a6b202bea301"


def test_stand_in_images_are_all_different() -> None:
    """No stand-in image repeats another, so that checks for duplicates pass."""
    data = images_of(StandIn(height=8, width=8, channels=1, num_images=3000))

    assert len(np.unique(data.images[:].reshape(3000, -1), axis=0)) == 3000


def test_stand_in_labels_go_round() -> None:
    """Classes follow each other, so that few images hold all of them."""
    data = images_of(StandIn(num_classes=3, num_images=5))

    assert (data.num_classes, data.labels.tolist()) == (3, [0, 1, 2, 0, 1])


def test_stand_in_classes_look_different() -> None:
    """Stripes tell the classes apart: in its spectrum an image is nearer to its own class."""
    data = images_of(StandIn(num_images=200, num_classes=4))
    spectra = np.abs(np.fft.fft2(data.images[..., 0].astype(float) - 128)).reshape(200, -1)
    means = np.stack([spectra[:100][data.labels[:100] == label].mean(0) for label in range(4)])
    nearest = ((spectra[100:, None] - means) ** 2).sum(-1).argmin(1)

    assert (nearest == data.labels[100:]).mean() > 0.9


def test_digits_are_pinned() -> None:
    """scikit-learn's digits come as 1,797 grey images that use the whole range."""
    data = images_of(Digits())

    assert (data.images.shape, data.labels.shape) == ((1797, 8, 8, 1), (1797,))
    pixels = data.images[:]
    assert (pixels.min(), pixels.max(), data.digest) == (0, 255, datasets.DIGITS_DIGEST)


def test_other_digits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scikit-learn with other digits is found out."""
    monkeypatch.setattr(datasets, "DIGITS_DIGEST", UNKNOWN)

    with pytest.raises(ResourceError, match="scikit-learn's digits: expected content"):
        images_of(Digits())


@pytest.mark.parametrize("spec", [Cifar10(), FashionMnist()])
def test_fetched_sets_say_how_to_get_them(spec: Dataset, tmp_path: Path) -> None:
    """Without a cached copy the error names the command that fetches it."""
    with pytest.raises(ResourceError, match="run `python -m repro fetch"):
        load(spec, cache=tmp_path)


def test_damaged_cache_is_found_at_reading(tmp_path: Path) -> None:
    """Images that are not the pinned ones are never handed out."""
    digests = resources.TABLE["cifar10"].digests
    tensors = {"train.images": np.zeros((1, 32, 32, 3), np.uint8), "train.labels": np.array([0])}
    write_tensors(tensors, tmp_path / "cifar10.safetensors", metadata=digests)

    with pytest.raises(ResourceError, match="the cached file is damaged"):
        load(Cifar10(), cache=tmp_path)


def folder(path: Path) -> Path:
    for number, name in enumerate(("ant", "bee")):
        (path / name).mkdir(parents=True)
        pixels = np.full((2, 2, 3), number, np.uint8)
        Image.fromarray(pixels).save(path / name / "1.png")
    return path


def test_folder_is_held_to_its_digest(tmp_path: Path) -> None:
    """A folder whose content is what the spec pins gives its images and classes."""
    images = np.stack([np.full((2, 2, 3), number, np.uint8) for number in range(2)])
    pinned = tensors_digest({"images": images, "labels": np.arange(2)})

    data = images_of(ImageFolder(path=str(folder(tmp_path)), digest=pinned))

    assert (data.num_classes, data.labels.tolist(), data.digest) == (2, [0, 1], pinned)


def test_changed_folder_is_refused(tmp_path: Path) -> None:
    """The error shows the digest of what is there, so that a change can be accepted."""
    spec = ImageFolder(path=str(folder(tmp_path)), digest=UNKNOWN)

    with pytest.raises(ResourceError, match=r"its content is sha256:[0-9a-f]{64}, the spec pins"):
        load(spec, cache=NOWHERE)


def tensor_file(path: Path, **tensors: NDArray[np.generic]) -> TensorFile:
    """A spec of a file that holds these tensors and pins them."""
    save_file(tensors, path)
    images = tensors["images"]
    labelled = {"labels": np.zeros(len(images), np.int64), **tensors}
    return TensorFile(path=str(path), digest=tensors_digest(labelled))


def test_tensor_file_gives_images_and_labels(tmp_path: Path) -> None:
    """The classes are counted from the labels."""
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    spec = tensor_file(tmp_path / "x.safetensors", images=images, labels=np.array([4, 0]))

    data = images_of(spec)

    assert (data.num_classes, data.labels.tolist()) == (5, [4, 0])
    np.testing.assert_array_equal(data.images, images)


def test_tensor_file_without_labels_is_one_class(tmp_path: Path) -> None:
    """Images alone are all of class 0."""
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)

    data = images_of(tensor_file(tmp_path / "x.safetensors", images=images))

    assert (data.num_classes, data.labels.tolist()) == (1, [0, 0])


IMAGES = np.zeros((2, 4, 4, 1), np.uint8)


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({"images": IMAGES.astype(np.float32)}, r"`images`: expected uint8 .* got float32"),
        ({"images": IMAGES[0]}, r"got uint8 \[4, 4, 1\]"),
        ({"images": IMAGES[:0]}, r"got uint8 \[0, 4, 4, 1\]"),
        ({"images": IMAGES, "labels": np.array([0])}, r"`labels`: expected int64 \[2\]"),
        ({"images": IMAGES, "labels": np.array([0, -1])}, r"got int64 \[2\] from -1"),
        ({"images": IMAGES, "labels": np.array([0.0, 1.0])}, r"got float64 \[2\]"),
    ],
)
def test_odd_tensor_files_are_refused(
    tensors: dict[str, NDArray[np.generic]], problem: str, tmp_path: Path
) -> None:
    """A tensor of another dtype or shape is named with what it is."""
    save_file(tensors, tmp_path / "x.safetensors")

    with pytest.raises(ResourceError, match=problem):
        load(TensorFile(path=str(tmp_path / "x.safetensors"), digest=UNKNOWN), cache=NOWHERE)


def test_tensor_file_without_images_is_refused(tmp_path: Path) -> None:
    """A file of other tensors is no data set."""
    save_file({"weight": np.zeros(3)}, tmp_path / "x.safetensors")

    with pytest.raises(ResourceError, match=r"`images`: expected .* got nothing"):
        load(TensorFile(path=str(tmp_path / "x.safetensors"), digest=UNKNOWN), cache=NOWHERE)


@pytest.mark.parametrize("content", [b"", b"text that is long enough"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    """A file that is no safetensors file is named."""
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(ResourceError, match="not a complete safetensors file"):
        load(TensorFile(path=str(tmp_path / "x"), digest=UNKNOWN), cache=NOWHERE)


def test_missing_tensor_file_is_said() -> None:
    """A file that is not there is named with what it should be."""
    with pytest.raises(ResourceError, match=r"x: no such file .expected a safetensors file"):
        load(TensorFile(path="/nonexistent/x", digest=UNKNOWN), cache=NOWHERE)


def test_checkerboard_fills_alternate_squares() -> None:
    """Without blur every point lies in one of eight squares of a 4 x 4 board, equally often."""
    points = points_of(Checkerboard(noise=0), 8000)
    column, row = np.floor(2 * points + 2).astype(int).T

    counts = np.bincount(4 * column + row, minlength=16).reshape(4, 4)

    board = np.indices((4, 4)).sum(0) % 2
    assert (counts[board == 1] == 0).all()
    np.testing.assert_allclose(counts[board == 0], 1000, rtol=0.15)


def test_swiss_roll_is_a_spiral() -> None:
    """Without blur the angle of a point is its radius, from pi/2 to 9 pi/2 over 9 pi/2."""
    points = points_of(SwissRoll(noise=0), 2000)
    t = np.hypot(*points.T) * 4.5 * math.pi

    np.testing.assert_allclose(points[:, 0] * 4.5 * math.pi, t * np.cos(t), atol=1e-4)
    np.testing.assert_allclose([t.min(), t.max()], [math.pi / 2, 4.5 * math.pi], rtol=0.02)


def test_two_gaussians_are_as_far_apart_as_told() -> None:
    """Without blur half of the points lie at either place."""
    points = points_of(Bimodal(distance=3, noise=0), 4000)
    right = points[:, 0] > 0

    assert set(map(tuple, points.tolist())) == {(-1.5, 0.0), (1.5, 0.0)}
    np.testing.assert_allclose(right.mean(), 0.5, atol=0.05)


@pytest.mark.parametrize("law", [Checkerboard, SwissRoll, Bimodal])
def test_blur_has_the_stated_deviation(
    law: type[Checkerboard] | type[SwissRoll] | type[Bimodal],
) -> None:
    """The same draw with and without blur differs by noise of that deviation."""
    blur = points_of(law(noise=0.1), 4000) - points_of(law(noise=0), 4000)

    np.testing.assert_allclose(blur.std(), 0.1, rtol=0.05)


@pytest.mark.parametrize("law", [Checkerboard(), SwissRoll(), Bimodal()])
def test_points_follow_their_generator(law: Dataset) -> None:
    """Equal seeds give equal float32 points, other seeds others."""
    first, again, other = (points_of(law, 5, seed=seed) for seed in (1, 1, 2))

    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_laws_have_digests_of_their_own() -> None:
    """Another law or another blur is another data set."""
    laws: list[Dataset] = [
        Checkerboard(),
        Checkerboard(noise=0.1),
        SwissRoll(),
        SwissRoll(noise=0.05),
        Bimodal(),
        Bimodal(distance=4),
    ]

    assert len({load(law, cache=NOWHERE).digest for law in laws}) == 6


def published(images: NDArray[np.uint8]) -> str:
    """SHA-256 over the sorted SHA-256 of each image's shape and bytes."""
    each = sorted(
        hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest() for image in images
    )
    return hashlib.sha256("\n".join(each).encode()).hexdigest()


@pytest.mark.slow
def test_real_cifar10_is_the_official_one(tmp_path: Path) -> None:
    """Laid out as the official binary files, the images have the checksums published for those."""
    path = resources.fetch("cifar10", cache=tmp_path, notify=print)
    tensors = read_tensors(path)

    def md5(split: str, part: slice) -> str:
        labels = tensors[f"{split}.labels"][part, None].astype(np.uint8)
        images = tensors[f"{split}.images"][part]
        planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        record = np.hstack([labels, planes]).tobytes()
        return hashlib.md5(record, usedforsecurity=False).hexdigest()

    assert [md5("train", slice(start, start + 10_000)) for start in range(0, 50_000, 10_000)] == [
        "5dd7e06a14cb22eb9f671a540d1b7c25",
        "5ea93a67294ea407fff1d09f752e9692",
        "942cd6a4bcdd0dd3c604fbe906cb4421",
        "ae636b3ba5c66a11e91e8cb52e771fcb",
        "53f37980c15c3d472c316c40844f3f0d",
    ]
    assert md5("test", slice(None)) == "803d5f7f4d78ea53de84dbe85f74fb6d"
    assert published(tensors["train.images"]).startswith("732431467d51ba19204696e08916790f")
    assert published(tensors["test.images"]).startswith("57ca4e2f3f2a347e447e854b056af826")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (Cifar10(), (50_000, 32, 32, 3)),
        (Cifar10(split="test"), (10_000, 32, 32, 3)),
        (FashionMnist(), (60_000, 28, 28, 1)),
        (FashionMnist(split="test"), (10_000, 28, 28, 1)),
    ],
)
def test_real_sets_load(
    spec: Cifar10 | FashionMnist, shape: tuple[int, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A fetched set has its shape, ten balanced classes, and the digest of its arrays."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    resources.fetch(spec.kind, cache=cache, notify=print)

    data = images_of(spec, cache=cache)

    assert data.images.shape == shape
    assert set(np.bincount(data.labels)) == {shape[0] // 10}
    assert data.digest == tensors_digest({"images": data.images[:], "labels": data.labels})


@pytest.mark.slow
def test_real_inception_is_the_standard_one(tmp_path: Path) -> None:
    """The fetched tensors are those of the standard FID, 94 convolutions with their statistics."""
    resources.fetch("inception", cache=tmp_path, notify=print)

    tensors = resources.read("inception", "pool3", cache=tmp_path)

    assert len(tensors) == 94 * 5
