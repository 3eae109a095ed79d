"""What a resource is: pinned content, and the sources that may hold it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from repro.engine.progress import Advance

if TYPE_CHECKING:
    from repro.engine.resources.tensors import Arrays

Notify = Callable[[str], None]
Track = Callable[[str, int], AbstractContextManager[Advance]]


class Source(Protocol):
    """A place to get a resource from."""

    @property
    def label(self) -> str:
        """What a person reads: a URL or a command."""

    def obtain(self, folder: Path, *, track: Track) -> Path:
        """Bring the resource into *folder*; the file or folder that `decode` reads.

        *folder* keeps what an interrupted attempt left, so that a download can continue.

        Raises:
            ResourceError: says in one line why the source could not give it.
        """


@frozen(kw_only=True)
class Resource:
    """Tensors that the project needs and does not ship.

    `decode` turns what any source gives into tensors in one canonical form. `part_of` gives the
    part of a tensor by its name, and its name within that part. `digests` pins the content of
    parts; tensors of other parts are optional extras, guarded against damage only. A resource
    without any is one whose decoder holds the files to checksums that their makers published.
    """

    name: str
    title: str
    accepted: str
    digests: Mapping[str, str]
    part_of: Callable[[str], tuple[str, str]]
    decode: "Callable[[Path], Arrays]"
    sources: tuple[Source, ...]
