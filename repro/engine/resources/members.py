"""Read named files out of a folder, a tar, a zip (wheel) or a Debian package, into memory.

Nothing is ever unpacked to disk: a member's path cannot lead anywhere, a link in an archive is
never followed, and what was not asked for by its base name is not read.
"""

import io
import lzma
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from repro.errors import ResourceError

Member = tuple[str, int, IO[bytes]]
"""Base name, size in bytes, content."""

MEMBER_LIMIT_BYTES = 512 << 20
"""No file of a known resource is larger; a bomb is."""

DAMAGED = (
    EOFError,
    OSError,
    RuntimeError,  # an encrypted zip, a compression that Python does not know
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a broken archive ends in."""


def read_members(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """The content of the files with the *wanted* base names, as many as are there.

    Raises:
        ResourceError: when the container cannot be read, is damaged, holds a name twice or a file
            that is larger than any resource's.
    """
    found: dict[str, bytes] = {}
    try:
        for name, size_bytes, file in _members(path, frozenset(wanted)):
            if name in found:
                msg = f"{path}: holds {name} more than once"
                raise ResourceError(msg)
            found[name] = _bounded(file, size_bytes, where=f"{path}: {name}")
    except DAMAGED as error:
        reason = str(error).partition("\n")[0].removesuffix(":")
        msg = f"{path}: damaged or unreadable: {reason}"
        raise ResourceError(msg) from error
    return found


def _bounded(file: IO[bytes], size_bytes: int, *, where: str) -> bytes:
    if size_bytes > MEMBER_LIMIT_BYTES:
        msg = f"{where}: {size_bytes} bytes, larger than any file of a resource"
        raise ResourceError(msg)
    data = file.read(size_bytes + 1)
    if len(data) != size_bytes:
        msg = f"{where}: expected {size_bytes} bytes, got {len(data)}"
        raise ResourceError(msg)
    return data


def _members(path: Path, wanted: frozenset[str]) -> Iterator[Member]:
    if path.is_dir():
        yield from _in_folder(path, wanted)
    elif zipfile.is_zipfile(path):
        yield from _in_zip(path, wanted)
    elif path.suffix == ".deb":
        with tarfile.open(fileobj=_debian_data(path)) as archive:
            yield from _in_tar(archive, wanted)
    else:
        with tarfile.open(path) as archive:
            yield from _in_tar(archive, wanted)


def _in_folder(path: Path, wanted: frozenset[str]) -> Iterator[Member]:
    for each in sorted((*path.glob("*"), *path.glob("*/*"))):
        if each.name in wanted and each.is_file():
            with each.open("rb") as file:
                yield each.name, each.stat().st_size, file


def _in_zip(path: Path, wanted: frozenset[str]) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename).name
            if name in wanted and not member.is_dir():
                with archive.open(member) as file:
                    yield name, member.file_size, file


def _in_tar(archive: tarfile.TarFile, wanted: frozenset[str]) -> Iterator[Member]:
    for member in archive:
        name = PurePosixPath(member.name).name
        if name in wanted and member.isreg():
            yield name, member.size, archive.extractfile(member) or io.BytesIO()


def _debian_data(path: Path) -> IO[bytes]:
    """The tar inside a Debian package, as its own tool writes it."""
    tool = shutil.which("dpkg-deb")
    if tool is None:
        msg = f"{path}: dpkg-deb is needed to read a Debian package and is not installed"
        raise ResourceError(msg)
    command = [tool, "--fsys-tarfile", str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        msg = f"{path}: not a Debian package: {done.stderr.decode(errors='replace').strip()}"
        raise ResourceError(msg)
    return io.BytesIO(done.stdout)
