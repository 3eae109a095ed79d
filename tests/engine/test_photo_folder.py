"""A folder of photographs: what is in it, what was changed, what is cropped."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from repro import digest
from repro.engine.datasets import Images
from repro.engine.datasets import load as load_data
from repro.engine.photo_folder import Crops, centre_crop, index_folder
from repro.errors import ResourceError
from repro.spec.data import ImageNetFolder

UNKNOWN = f"sha256:{'0' * 64}"
SHA256SUM = r"find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"


def photo(path: Path, *, size=(40, 30), seed=0, mode="RGB", **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": (3,), "L": (), "CMYK": (4,)}[mode]
    pixels = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], *channels), np.uint8)
    Image.fromarray(pixels, mode).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Two classes whose names sort otherwise as classes than as parts of paths."""
    photo(tmp_path / "photos/n01/b.JPEG", size=(40, 30), seed=1)
    photo(tmp_path / "photos/n01/a.JPEG", size=(30, 50), seed=2, mode="L")
    photo(tmp_path / "photos/n01-x/c.png", size=(16, 16), seed=3)
    photo(tmp_path / "photos/n02/d.JPEG", size=(9, 12), seed=4, mode="CMYK", format="JPEG")
    return tmp_path / "photos"


def load(spec: ImageNetFolder, *, cache: Path) -> Images:
    data = load_data(spec, cache=cache)
    assert isinstance(data, Images)
    return data


def spec_of(folder, **changes) -> ImageNetFolder:
    found = index_folder(folder, cache=folder.parent / "other")
    known = {"path": str(folder), "digest": found.digest, "num_classes": 3, "num_images": 4}
    return ImageNetFolder(**{**known, "crop_to": 16, **changes})


def test_classes_are_the_sorted_names_of_folders(folder, tmp_path):
    """The order of classes and files is that of their names, on every machine."""
    data = load(spec_of(folder), cache=tmp_path / "cache")

    assert data.labels.tolist() == [0, 0, 1, 2]
    assert isinstance(data.images, Crops)
    assert [each.path.name for each in data.images.photos] == [
        "a.JPEG",
        "b.JPEG",
        "c.png",
        "d.JPEG",
    ]
    assert data.shape == (3, 16, 16)


def test_the_digest_is_what_sha256sum_prints(folder, tmp_path):
    """A person can find it without us, by the command in the documentation."""
    done = subprocess.run(
        SHA256SUM, shell=True, cwd=folder, check=True, capture_output=True, text=True
    )

    assert index_folder(folder, cache=tmp_path).digest == f"sha256:{done.stdout.split()[0]}"
    assert SHA256SUM in (ImageNetFolder.__doc__ or "")


def test_only_what_is_taken_is_read(folder, tmp_path):
    """A data set of 140 GB is not opened to know its size."""
    data = load(spec_of(folder), cache=tmp_path / "cache")
    (folder / "n01" / "a.JPEG").unlink()

    taken = data.images[np.array([2, 3, 2])]

    assert (taken.shape, taken.dtype.name) == ((3, 16, 16, 3), "uint8")
    assert np.array_equal(taken[0], taken[2])
    assert np.array_equal(taken[0], np.asarray(Image.open(folder / "n01-x/c.png")))
    assert data.images[2:].shape == (2, 16, 16, 3)


def test_what_the_index_knows_is_not_read_again(folder, tmp_path, monkeypatch):
    """The second start lists and compares; the first has digested."""
    first = index_folder(folder, cache=tmp_path / "cache")
    monkeypatch.setattr(digest, "sha256_file", lambda _: pytest.fail("read again"))

    again = index_folder(folder, cache=tmp_path / "cache")

    assert again == first


def test_a_changed_file_changes_the_digest(folder, tmp_path):
    """The index does not hide a file with another time or size."""
    spec = spec_of(folder)
    load(spec, cache=tmp_path / "cache")
    photo(folder / "n01/b.JPEG", size=(40, 31), seed=9)

    with pytest.raises(ResourceError, match=r"its content is sha256:.*, the spec pins"):
        load(spec, cache=tmp_path / "cache")


def test_a_file_changed_behind_the_index_is_refused_when_it_is_read(folder, tmp_path):
    """Bytes that keep size and time are still held to their digest."""
    spec, path = spec_of(folder), folder / "n01-x/c.png"
    load(spec, cache=tmp_path / "cache")
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    images = load(spec, cache=tmp_path / "cache").images

    with pytest.raises(ResourceError, match=r"c.png: was changed"):
        images[2:3]


def test_a_damaged_index_is_made_anew(folder, tmp_path):
    """What the index does not say is read from the files."""
    first = index_folder(folder, cache=tmp_path / "cache")
    (index,) = (tmp_path / "cache" / "photo-folders").iterdir()
    index.write_text("damaged\n")

    assert index_folder(folder, cache=tmp_path / "cache") == first


@pytest.mark.parametrize(
    ("change", "message"),
    [({"num_images": 5}, "the spec says 5, the folder has 4"), ({"num_classes": 1000}, "1000")],
)
def test_another_size_than_the_spec_says_is_refused(folder, tmp_path, change, message):
    """A half-extracted archive is found before anything is computed."""
    with pytest.raises(ResourceError, match=message):
        load(spec_of(folder, **change), cache=tmp_path / "cache")


def test_a_file_that_is_no_image_is_named(folder, tmp_path):
    """The digest may be right and the file still no photograph."""
    (folder / "n02/e.JPEG").write_text("not found")
    data = load(spec_of(folder, num_images=5), cache=tmp_path / "cache")

    with pytest.raises(ResourceError, match=r"e.JPEG: not an image"):
        data.images[:]


def test_a_folder_without_order_is_refused_with_every_reason(tmp_path):
    """Images beside classes, empty classes, folders in classes."""
    photo(tmp_path / "n01/inner/a.JPEG")
    (tmp_path / "n02").mkdir()

    with pytest.raises(ResourceError) as caught:
        index_folder(tmp_path, cache=tmp_path / ".cache")

    assert [each.partition(": ")[2] for each in caught.value.problems] == [
        "a class without images",
        "not a file",
    ]


def test_a_missing_folder_is_named(tmp_path):
    """Not a traceback."""
    with pytest.raises(ResourceError, match="cannot be listed"):
        index_folder(tmp_path / "nowhere", cache=tmp_path)


def test_images_beside_classes_are_refused(folder, tmp_path):
    """An image without a class is a mistake."""
    photo(folder / "stray.JPEG")

    with pytest.raises(ResourceError, match=r"stray.JPEG: not a folder of a class"):
        index_folder(folder, cache=tmp_path)


@pytest.mark.parametrize("size", [(16, 16), (40, 30), (30, 40), (200, 33), (64, 64), (9, 12)])
def test_the_crop_is_the_square_at_the_centre(size):
    """Left and right, above and below lose alike; the result has the size asked for."""
    width, height = size
    column = np.abs(np.arange(width) - (width - 1) / 2) / width
    row = np.abs(np.arange(height) - (height - 1) / 2) / height
    grey = (255 * (row[:, None] + column) / 2).astype(np.uint8)

    crop = np.asarray(centre_crop(Image.fromarray(grey), side=16)).astype(int)

    assert crop.shape == (16, 16)
    assert np.abs(crop - crop[::-1]).max() <= 12
    assert np.abs(crop - crop[:, ::-1]).max() <= 12


def test_the_crop_of_a_large_photograph_is_box_halved_then_bicubic():
    """62 x 60 to 16: halved to 31 x 30, to 17 x 16 by cubics, the left 16 columns kept."""
    pixels = np.random.RandomState(0).randint(0, 256, (60, 62, 3), np.uint8)
    halved = pixels.reshape(30, 2, 31, 2, 3).mean(axis=(1, 3))
    wanted = Image.fromarray(np.floor(halved + 0.5).astype(np.uint8)).resize(
        (17, 16), Image.Resampling.BICUBIC
    )

    crop = np.asarray(centre_crop(Image.fromarray(pixels), side=16))

    assert (
        np.abs(crop.astype(int) - np.asarray(wanted)[:, :16].astype(int)).max() <= 3
    )  # rounded twice
