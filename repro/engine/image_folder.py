"""A folder of images as arrays: listed by its own rules, refused with every reason at once.

Images lie in the folder itself (one class) or in its sub-folders (classes, sorted by name), never
in both and never deeper. Files whose names begin with a dot are not seen; every other file must be
a lossless image of the one size and colour mode. What a file is, its content says, not its name.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from repro.errors import ResourceError

FORMATS = ("BMP", "PNG", "PPM")
"""Always lossless. TIFF and WebP may hold lossy data, JPEG always does."""

CHANNELS = {"L": 1, "RGB": 3}
MOST_PROBLEMS = 20


@frozen(kw_only=True, eq=False)
class Folder:
    """Images uint8 [N, H, W, C] and labels int64 [N], sorted by class, then by file name."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    num_classes: int
    notes: tuple[str, ...]


def read_folder(path: Path) -> Folder:
    """Read every image of a folder.

    Raises:
        ResourceError: names each file that is no lossless image, or of another size or mode than
            most are; or says that the folder is missing, empty or of mixed layout.
    """
    classes = _classes(path)
    files = [file for _, members in classes for file in members]
    with ThreadPoolExecutor() as pool:
        decoded = list(pool.map(_decode, files))
    _refuse([each for each in decoded if isinstance(each, str)])
    arrays = [each for each in decoded if not isinstance(each, str)]
    _refuse(_odd_ones(files, arrays))
    return Folder(
        images=np.stack(arrays),
        labels=np.repeat(np.arange(len(classes)), [len(members) for _, members in classes]),
        num_classes=len(classes),
        notes=tuple(_duplicates(files, arrays)),
    )


def _classes(path: Path) -> list[tuple[str, list[Path]]]:
    try:
        entries = _visible(path)
        folders = [entry for entry in entries if entry.is_dir()]
        inner = [(folder, _visible(folder)) for folder in folders]
    except OSError as error:
        msg = f"{path}: cannot be listed: {error.strerror}"
        raise ResourceError(msg) from error
    nested = [
        f"{each}: a folder in a class" for _, inside in inner for each in inside if each.is_dir()
    ]
    empty = [f"{folder}: a class without images" for folder, inside in inner if not inside]
    mixed = [f"{path}: images beside folders"] if folders and len(folders) < len(entries) else []
    none = [] if entries else [f"{path}: holds no images"]
    _refuse([*nested, *empty, *mixed, *none])
    return [(folder.name, inside) for folder, inside in inner] or [("", entries)]


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _decode(file: Path) -> NDArray[np.uint8] | str:
    """The pixels [H, W, C] of a file, or why it is refused."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            if image.format not in FORMATS:
                return (
                    f"{file}: {image.format} may lose detail, expected one of: {', '.join(FORMATS)}"
                )
            if image.mode not in CHANNELS:
                return f"{file}: colour mode {image.mode}, expected one of: {', '.join(CHANNELS)}"
            pixels = np.asarray(image)
            return pixels.reshape(*pixels.shape[:2], CHANNELS[image.mode])
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return f"{file}: not an image"
    except (OSError, SyntaxError, ValueError) as error:
        return f"{file}: damaged image: {error}"


def _odd_ones(files: Sequence[Path], arrays: Sequence[NDArray[np.uint8]]) -> list[str]:
    shapes = [each.shape for each in arrays]
    usual = max(set(shapes), key=lambda shape: (shapes.count(shape), shape))
    return [
        f"{file}: {_size(shape)}, where most are {_size(usual)}"
        for file, shape in zip(files, shapes, strict=True)
        if shape != usual
    ]


def _size(shape: tuple[int, ...]) -> str:
    height, width, channels = shape
    return f"{width} x {height} {'RGB' if channels == 3 else 'grey'}"


def _duplicates(files: Sequence[Path], arrays: Sequence[NDArray[np.uint8]]) -> Iterator[str]:
    first: dict[bytes, Path] = {}
    again = []
    for file, pixels in zip(files, arrays, strict=True):
        original = first.setdefault(hashlib.sha256(pixels.tobytes()).digest(), file)
        if original != file:
            again.append(f"{file} repeats {original}")
    if again:
        yield f"{len(again)} of {len(files)} images are duplicates: {'; '.join(again[:3])}"


def _refuse(problems: Sequence[str]) -> None:
    if len(problems) > MOST_PROBLEMS:
        problems = [*problems[:MOST_PROBLEMS], f"and {len(problems) - MOST_PROBLEMS} more"]
    if problems:
        raise ResourceError(*problems)
