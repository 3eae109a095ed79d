"""Folders of images: what is listed, what is refused, and why."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from repro.engine.image_folder import read_folder
from repro.errors import ResourceError

RNG = np.random.default_rng(0)


def save(path: Path, *, size: tuple[int, int] = (4, 6), mode: str = "RGB") -> Path:
    """A random image of *size* (width, height); the suffix says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = [RNG.integers(0, 256, size[::-1], np.uint8) for _ in Image.new(mode, (1, 1)).getbands()]
    Image.merge(mode, [Image.fromarray(band) for band in bands]).save(path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ResourceError) as caught:
        read_folder(path)
    return str(caught.value)


def test_flat_folder_is_one_class(tmp_path: Path) -> None:
    """Images in the folder itself come in order of their names, with label 0."""
    second, first = save(tmp_path / "b.png"), save(tmp_path / "a.png")

    folder = read_folder(tmp_path)

    assert folder.num_classes == 1
    np.testing.assert_array_equal(folder.labels, [0, 0])
    np.testing.assert_array_equal(folder.images[0], np.asarray(Image.open(first)))
    np.testing.assert_array_equal(folder.images[1], np.asarray(Image.open(second)))


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    """Classes are the sub-folders in order of their names."""
    for name in ("dog/1.png", "cat/1.png", "cat/2.png"):
        save(tmp_path / name)

    folder = read_folder(tmp_path)

    assert (folder.num_classes, folder.labels.tolist()) == (2, [0, 0, 1])


def test_grey_images_keep_a_channel(tmp_path: Path) -> None:
    """A grey image has the layout height, width, 1."""
    save(tmp_path / "a.png", mode="L")

    assert read_folder(tmp_path).images.shape == (1, 6, 4, 1)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm"])
def test_lossless_formats_are_exact(suffix: str, tmp_path: Path) -> None:
    """Every accepted format gives the pixels that were saved."""
    pixels = RNG.integers(0, 256, (5, 3, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")

    np.testing.assert_array_equal(read_folder(tmp_path).images[0], pixels)


def test_hidden_files_are_not_seen(tmp_path: Path) -> None:
    """What a desktop leaves behind does not count."""
    save(tmp_path / "a.png")
    (tmp_path / ".DS_Store").write_bytes(b"x")

    assert len(read_folder(tmp_path).images) == 1


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif", "gif"])
def test_lossy_formats_are_refused(suffix: str, tmp_path: Path) -> None:
    """A format that may lose detail is refused by file."""
    file = save(tmp_path / f"a.{suffix}", mode="L")

    assert refusal(tmp_path).startswith(f"{file}: ")
    assert "may lose detail, expected one of: BMP, PNG, PPM" in refusal(tmp_path)


def test_format_is_told_by_content(tmp_path: Path) -> None:
    """A JPEG that calls itself PNG is still a JPEG."""
    save(tmp_path / "a.jpg").rename(tmp_path / "a.png")

    assert "a.png: JPEG may lose detail" in refusal(tmp_path)


def test_every_odd_file_is_named_at_once(tmp_path: Path) -> None:
    """A text, a damaged image and a palette image are three lines of one error."""
    save(tmp_path / "a.png")
    (tmp_path / "b.txt").write_text("notes", encoding="utf-8")
    data = save(tmp_path / "c.png").read_bytes()
    (tmp_path / "c.png").write_bytes(data[:60])
    Image.new("P", (4, 6)).save(tmp_path / "d.png")

    lines = refusal(tmp_path).splitlines()

    assert [line.removeprefix(f"{tmp_path}/")[:20] for line in lines] == [
        "b.txt: not an image",
        "c.png: damaged image",
        "d.png: colour mode P",
    ]


def test_mixed_sizes_are_refused(tmp_path: Path) -> None:
    """The image that differs from most is named with both sizes."""
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    file = save(tmp_path / "c.png", size=(5, 6))

    assert refusal(tmp_path) == f"{file}: 5 x 6 RGB, where most are 4 x 6 RGB"


def test_mixed_modes_are_refused(tmp_path: Path) -> None:
    """A grey image among coloured ones is named."""
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    file = save(tmp_path / "c.png", mode="L")

    assert refusal(tmp_path) == f"{file}: 4 x 6 grey, where most are 4 x 6 RGB"


def test_long_lists_are_cut(tmp_path: Path) -> None:
    """A folder of texts is refused with twenty names and a count."""
    for number in range(25):
        (tmp_path / f"{number}.txt").write_text("x", encoding="utf-8")

    lines = refusal(tmp_path).splitlines()

    assert (len(lines), lines[-1]) == (21, "and 5 more")


def test_duplicates_are_reported(tmp_path: Path) -> None:
    """An image that comes twice is counted and named in a note."""
    first = save(tmp_path / "a.png")
    second = tmp_path / "b.png"
    second.write_bytes(first.read_bytes())

    folder = read_folder(tmp_path)

    assert folder.notes == (f"1 of 2 images are duplicates: {second} repeats {first}",)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ((), "holds no images"),
        (("a.png", "cat/b.png"), "images beside folders"),
        (("cat/deep/a.png",), "deep: a folder in a class"),
    ],
)
def test_other_layouts_are_refused(files: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    """An empty, a mixed and a nested folder are told apart."""
    for name in files:
        save(tmp_path / name)

    assert problem in refusal(tmp_path)


def test_empty_class_is_refused(tmp_path: Path) -> None:
    """A class without images would shift every later label without a word."""
    save(tmp_path / "cat" / "a.png")
    (tmp_path / "ant").mkdir()

    assert refusal(tmp_path) == f"{tmp_path / 'ant'}: a class without images"


def test_missing_folder_is_said(tmp_path: Path) -> None:
    """A folder that is not there is named with the system's reason."""
    assert "nowhere: cannot be listed: No such file" in refusal(tmp_path / "nowhere")
