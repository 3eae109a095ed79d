"""A resource of a few bytes with the behaviour of a real one, and sources that tests control."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import field, frozen

from repro.engine.resources import Resource, Source
from repro.engine.resources.resource import Track
from repro.engine.resources.tensors import Arrays, part_digests
from repro.errors import ResourceError

TENSORS = {
    "train.images": np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1),
    "train.labels": np.array([0, 1, 0]),
    "test.images": np.arange(100, 104, dtype=np.uint8).reshape(1, 2, 2, 1),
}
CONTENT = b"genuine"


def part_of(name: str) -> tuple[str, str]:
    part, _, short = name.partition(".")
    return part, short


def decode(path: Path) -> Arrays:
    """The tensors, when the file says "genuine"; others, when it says anything else."""
    if path.read_bytes() == CONTENT:
        return dict(TENSORS)
    return {name: value + value.dtype.type(1) for name, value in TENSORS.items()}


def small_resource(*sources: Source) -> dict[str, Resource]:
    """A table with one resource called "small"."""
    resource = Resource(
        name="small",
        title="three images",
        accepted="a genuine file",
        digests=part_digests(TENSORS, part_of),
        part_of=part_of,
        decode=decode,
        sources=sources,
    )
    return {"small": resource}


@frozen
class Shelf:
    """A source that gives what it was made with, or fails with a reason, and counts its calls."""

    label: str
    content: bytes | None = CONTENT
    calls: list[Path] = field(factory=list)

    def obtain(self, folder: Path, *, track: Track) -> Path:
        del track
        self.calls.append(folder)
        if self.content is None:
            msg = f"{self.label} is closed"
            raise ResourceError(msg)
        (folder / "file").write_bytes(self.content)
        return folder / "file"


class Notices:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(text)

    def about(self, word: str) -> Sequence[str]:
        return [line for line in self.lines if word in line]
