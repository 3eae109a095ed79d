"""Runs that a spec builds on: each is named by its spec file and becomes part of the spec.

A table of kind `pretrained` or `trained`, and the table `[init]`, say `from`, a path relative to
the file that says it. The file is read here, with its own `extends`, and stands as plain data under
`run` in the place of the path. So the identity of a run holds that of what it builds on, and a
record of it can be read without the file.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from repro.errors import SpecError
from repro.spec import toml
from repro.spec.autoencoder import TrainedAutoencoderKl
from repro.spec.compose import Data, Place, guard, shown_place
from repro.spec.document import Spec
from repro.spec.encoder import PretrainedEncoder
from repro.spec.problems import KeyPath, dotted, shown
from repro.spec.structure import dump

BUILT_ON = (PretrainedEncoder.kind, TrainedAutoencoderKl.kind)
"""The kinds of table that name a run; so does `[init]`, which has no kind."""

PlaceOf = Callable[[KeyPath], Place | None]
"""Where a key was set."""


@frozen(kw_only=True)
class Upstreams:
    """The files that a spec file may name.

    `path` is that file; `above` are the real paths of it and of the files that led to it. `load`
    gives the specs of a file that was named, and of those above it in turn.
    """

    path: Path
    above: tuple[Path, ...]
    load: Callable[[Path, tuple[Path, ...]], Sequence[Spec]]

    def embedded(self, data: Data, place_of: PlaceOf) -> Data:
        """The data with every upstream run in the place of its path.

        Raises:
            SpecError: a path leads to no spec, to several, in a circle or out of the project.
        """
        changed: Data = self._embedded(data, (), place_of)
        return changed

    def _embedded(self, value: Any, path: KeyPath, place_of: PlaceOf) -> Any:
        match value:
            case Mapping() if _names_a_run(value, path):
                said = {key: item for key, item in value.items() if key != "from"}
                return {**said, "run": self._run(value.get("from"), (*path, "from"), place_of)}
            case Mapping():
                return {
                    key: self._embedded(item, (*path, key), place_of) for key, item in value.items()
                }
            case list():
                return [
                    self._embedded(item, (*path, index), place_of)
                    for index, item in enumerate(value)
                ]
            case _:
                return value

    def _run(self, named: Any, path: KeyPath, place_of: PlaceOf) -> Data:
        place = place_of(path) or (str(self.path), 0)
        asked_by = f"{shown_place(place)}: {dotted(path)}: "
        if not isinstance(named, str) or not named or Path(named).is_absolute():
            got = "nothing" if named is None else shown(named)
            msg = "expected the spec file of the run to build on, relative to this file"
            raise SpecError(f"{asked_by}{msg}; got {got}")
        said_in = Path(place[0]) if place[1] else self.path  # an option is said beside the file
        file = said_in.parent / named
        toml.read(file, asked_by=asked_by)
        guard(file.resolve(), self.above, asked_by)
        found = self.load(file, self.above)
        if len(found) != 1:
            msg = f"{file} describes {len(found)} runs, expected one; name a file without [sweep]"
            raise SpecError(f"{asked_by}{msg}")
        return dump(found[0])


def _names_a_run(table: Mapping[str, Any], path: KeyPath) -> bool:
    """Whether a table names the run that it builds on by a file that is yet to be read."""
    return "run" not in table and (path == ("init",) or table.get("kind") in BUILT_ON)
