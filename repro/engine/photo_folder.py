"""A folder of photographs, one class a sub-folder, of which no more is read than is asked for.

ImageNet is 140 GB, so its content is digested as git digests a working tree: an index in the cache
keeps the SHA-256 digest of every file with its size and time, and a file that has changed neither
is not read again. The digests of all files together are held to the pin at every start (the quick
fingerprint; the first time, when there is no index, it is the full verification). And no image gets
past on its time alone: whenever a file is read, its bytes are held to its digest.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from repro import digest
from repro.errors import ResourceError

if TYPE_CHECKING:
    from PIL.Image import Image

UNQUOTED = frozenset("\\\n\r")
"""What `sha256sum` would not print as it stands."""

MOST_PROBLEMS = 20


@frozen(kw_only=True)
class Photo:
    """A file, below the folder that all lie in."""

    path: Path
    label: int
    sha256: str


@frozen(kw_only=True)
class PhotoFolder:
    """The files by class, then by name; `digest` is that of the lines that `sha256sum` prints."""

    photos: tuple[Photo, ...]
    num_classes: int
    digest: str


@frozen(eq=False)
class Crops:
    """Photographs as an array, uint8 [N, side, side, 3], that reads and crops what is taken."""

    photos: Sequence[Photo]
    side: int

    @property
    def shape(self) -> tuple[int, ...]:
        """As that of an array: the number of images, height, width, channels."""
        return (len(self.photos), self.side, self.side, 3)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, rows: Any, /) -> NDArray[np.uint8]:
        """The images of a slice or of an array of indices.

        Raises:
            ResourceError: names the first file that was changed, or is no image.
        """
        chosen = np.arange(len(self.photos))[rows]
        crops = np.empty((len(chosen), *self.shape[1:]), np.uint8)

        def read(place: int) -> None:
            crops[place] = read_crop(self.photos[chosen[place]], side=self.side)

        with ThreadPoolExecutor() as pool:
            list(pool.map(read, range(len(chosen))))
        return crops


def index_folder(folder: Path, *, cache: Path) -> PhotoFolder:
    """List the photographs of a folder, and digest those that the index does not know.

    Raises:
        ResourceError: the folder is missing or empty, or holds what is not a file in a class.
    """
    classes = _classes(folder)
    index = cache / "photo-folders" / f"{digest.xxh3_128(str(folder.resolve()).encode())}.index"
    known = _known(index)
    files = [(path, label) for label, members in enumerate(classes) for path in members]
    with ThreadPoolExecutor() as pool:
        entries = list(pool.map(lambda file: _entry(folder, file[0], known), files))
    _write_index(index, entries)
    photos = tuple(
        Photo(path=path, label=label, sha256=entry.sha256)
        for (path, label), entry in zip(files, entries, strict=True)
    )
    return PhotoFolder(photos=photos, num_classes=len(classes), digest=_digest(entries))


def read_crop(photo: Photo, *, side: int) -> NDArray[np.uint8]:
    """The pixels [side, side, 3] at the centre of a photograph, held to its digest.

    Raises:
        ResourceError: the file was changed since it was indexed, or is no image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        data = photo.path.read_bytes()
    except OSError as error:
        raise ResourceError(f"{photo.path}: cannot be read: {error.strerror}") from error
    if (found := hashlib.sha256(data).hexdigest()) != photo.sha256:
        msg = f"{photo.path}: was changed: expected content {photo.sha256}, got {found}"
        raise ResourceError(msg)
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(centre_crop(image.convert("RGB"), side=side))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ResourceError(f"{photo.path}: not an image, or damaged: {error}") from error


def centre_crop(image: "Image", *, side: int) -> "Image":
    """The square at the centre, of the whole shorter side, as *side* x *side* pixels.

    As guided diffusion does it (Dhariwal & Nichol 2021, `center_crop_arr`): halved with a box
    filter as long as the shorter side stays at least *side*, then bicubic to it, then cropped.
    """
    from PIL.Image import Resampling

    while min(image.size) >= 2 * side:
        width, height = image.size
        image = image.resize((width // 2, height // 2), Resampling.BOX)
    scale = side / min(image.size)
    width, height = (round(each * scale) for each in image.size)
    image = image.resize((width, height), Resampling.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


@frozen
class _Entry:
    """A line of the index."""

    sha256: str
    size_bytes: int
    mtime_ns: int
    name: str


def _classes(folder: Path) -> list[list[Path]]:
    """The files of every class, classes and files sorted by name."""
    try:
        folders = _visible(folder)
        problems = [f"{each}: not a folder of a class" for each in folders if not each.is_dir()]
        _refuse(problems or ([] if folders else [f"{folder}: holds no classes"]))
        classes = [_visible(each) for each in folders]
    except OSError as error:
        msg = f"{error.filename}: cannot be listed: {error.strerror}"
        raise ResourceError(msg) from error
    files = [each for members in classes for each in members]
    empty = [folder for folder, members in zip(folders, classes, strict=True) if not members]
    odd = [each for each in files if not UNQUOTED.isdisjoint(str(each))]
    _refuse(
        [
            *(f"{each}: a class without images" for each in empty),
            *(f"{each}: not a file" for each in files if not each.is_file()),
            *(f"{str(each)!r}: a backslash or a line break in a name" for each in odd),
        ]
    )
    return classes


def _visible(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if not each.name.startswith("."))


def _entry(folder: Path, path: Path, known: dict[str, _Entry]) -> _Entry:
    name = path.relative_to(folder).as_posix()
    stat = path.stat()
    entry = known.get(name)
    if entry and (entry.size_bytes, entry.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return entry
    sha256 = digest.sha256_file(path).removeprefix("sha256:")
    return _Entry(sha256, stat.st_size, stat.st_mtime_ns, name)


def _digest(entries: Sequence[_Entry]) -> str:
    proof = hashlib.sha256()
    for entry in sorted(entries, key=lambda each: each.name.encode()):
        proof.update(f"{entry.sha256}  {entry.name}\n".encode())
    return f"sha256:{proof.hexdigest()}"


def _known(index: Path) -> dict[str, _Entry]:
    """What the index says; nothing when there is none, or it is damaged."""
    try:
        return {entry.name: entry for entry in _lines(index)}
    except (OSError, ValueError):
        return {}


def _lines(index: Path) -> Iterator[_Entry]:
    with index.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            sha256, size_bytes, mtime_ns, name = line.rstrip("\n").split(" ", 3)
            yield _Entry(sha256, int(size_bytes), int(mtime_ns), name)


def _write_index(index: Path, entries: Sequence[_Entry]) -> None:
    """Write aside, rename."""
    index.parent.mkdir(parents=True, exist_ok=True)
    aside = index.with_name(f"{index.name}.{os.getpid()}")
    with aside.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{e.sha256} {e.size_bytes} {e.mtime_ns} {e.name}\n" for e in entries)
    aside.replace(index)


def _refuse(problems: Sequence[str]) -> None:
    if len(problems) > MOST_PROBLEMS:
        problems = [*problems[:MOST_PROBLEMS], f"and {len(problems) - MOST_PROBLEMS} more"]
    if problems:
        raise ResourceError(*problems)
