"""One table out of several: `extends`, `--set a.b=value` and `[sweep]`.

Tables are merged key by key; anything else is replaced. A component of another `kind` replaces the
whole table, because the fields of one kind mean nothing to another.

`extends` names a file beside the one that says it. Both lie in one project: the nearest folder
above the first file that holds `pyproject.toml` or `specs`, or else that file's own folder.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain, product
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from repro.errors import SpecError
from repro.spec import toml
from repro.spec.document import OUTSIDE_SPEC
from repro.spec.problems import KeyPath, choice, dotted, shown

Data = dict[str, Any]
Place = tuple[str, int]
"""A file and a line of it from 1; or an option of the command line and 0."""
Places = dict[KeyPath, Place]
"""Where each key was set."""

MAX_RUNS = 10_000
MAX_FILES = 32


@frozen(kw_only=True)
class Source:
    """A spec file: what the user calls it, where it really is, its text and its data."""

    path: Path
    real: Path
    text: str
    data: Data

    def places(self) -> Places:
        """Where each of its keys stands."""
        return {path: (str(self.path), line) for path, line in toml.lines(self.text).items()}


@frozen(kw_only=True)
class Assignment:
    """`value` at `path`, from a sweep or from the command line."""

    path: tuple[str, ...]
    value: Any
    place: Place


def sources(path: Path) -> tuple[Source, ...]:
    """A spec file and the files that it extends, the most basic first.

    Raises:
        SpecError: for a file that is missing, outside the project, or extends itself.
    """
    found = [_source(path, [], asked_by="")]
    while "extends" in found[-1].data:
        top = found[-1]
        asked_by = f"{shown_place(top.places()['extends',])}: extends: "
        found.append(_source(_base(top, asked_by), found, asked_by=asked_by))
    return tuple(
        evolve(each, data={key: value for key, value in each.data.items() if key != "extends"})
        for each in reversed(found)
    )


def _source(path: Path, above: Sequence[Source], *, asked_by: str) -> Source:
    text = toml.read(path, asked_by=asked_by)
    real = path.resolve()
    if above:
        guard(real, [each.real for each in above], asked_by)
    return Source(path=path, real=real, text=text, data=toml.parse(text, str(path)))


def _base(top: Source, asked_by: str) -> Path:
    following = top.data["extends"]
    if not isinstance(following, str) or not following or Path(following).is_absolute():
        msg = f"expected a path relative to this file, got {shown(following)}"
        raise SpecError(f"{asked_by}{msg}")
    return top.path.parent / following


def guard(real: Path, above: Sequence[Path], asked_by: str) -> None:
    """Refuse a file that another names: outside the project, in a circle, or too far down.

    Raises:
        SpecError: with the place that names it.
    """
    root = _project(above[0])
    if not real.is_relative_to(root):
        raise SpecError(f"{asked_by}{real} is outside the project {root}")
    if real in above:
        circle = " -> ".join(each.name for each in (*above[above.index(real) :], real))
        raise SpecError(f"{asked_by}goes in a circle: {circle}")
    if len(above) == MAX_FILES:
        raise SpecError(f"{asked_by}expected at most {MAX_FILES} files that name one another")


def _project(path: Path) -> Path:
    for folder in path.parents:
        if (folder / "pyproject.toml").is_file() or (folder / "specs").is_dir():
            return folder
    return path.parent


def merged(files: Sequence[Source]) -> Data:
    """The data of files of which each extends the one before it."""
    return reduce(lambda base, file: merge(base, file.data), files, {})


def places(files: Sequence[Source], assignments: Sequence[Assignment]) -> Places:
    """Where each key of the merged files and then the assignments was set last."""
    data: Data = {}
    found: Places = {}
    for file in files:
        after = merge(data, file.data)
        found = _kept(found, data, after) | file.places()
        data = after
    for one in assignments:
        path = resolve(data, one)
        after = assign(data, one)
        above = {path[:size]: one.place for size in range(1, len(path))}
        found = above | _kept(found, data, after) | {path: one.place}
        data = after
    return found


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> Data:
    """The data of a file that extends another."""
    result = dict(base)
    for key, value in top.items():
        result[key] = merge(base[key], value) if _merges(base.get(key), value) else value
    return result


def _merges(base: Any, top: Any) -> bool:
    if not isinstance(base, dict) or not isinstance(top, dict):
        return False
    return "kind" not in top or top["kind"] == base.get("kind", top["kind"])


def _kept(found: Places, before: Data, after: Data) -> Places:
    gone = set(_changed(before, after, ()))
    return {
        path: place
        for path, place in found.items()
        if not any(path[:size] in gone for size in range(1, len(path) + 1))
    }


def _changed(before: Any, after: Any, path: KeyPath) -> Iterator[KeyPath]:
    match before, after:
        case dict(), dict():
            for key, value in before.items():
                yield from _changed(value, after.get(key), (*path, key))
        case list(), list() if len(before) == len(after):
            for index, value in enumerate(before):
                yield from _changed(value, after[index], (*path, index))
        case _ if before != after:
            yield path
        case _:
            pass


def assignment(option: str) -> Assignment:
    """What `--set a.b=value` says. The value is TOML; bare words are a string.

    Raises:
        SpecError: when there is no path or no `=`, or when only a file can say it.
    """
    name, equals, written = option.partition("=")
    path = toml.key_path(name)
    if not equals or not path or len(path) > toml.MAX_DEPTH:
        raise SpecError(f"--set {option:.80}: expected a.b=value")
    if path[0] == "extends":
        raise SpecError(f"--set {option:.80}: extends: can be said only in a file")
    try:
        data = toml.parse(f"value = {written}", "--set")
    except SpecError:
        data = {}
    value = data["value"] if len(data) == 1 else written
    return Assignment(path=path, value=value, place=(f"--set {option}", 0))


def assign(data: Data, one: Assignment) -> Data:
    """The data with a value set, as if a file that extends them had said so.

    An entry of an array is named by its index from 0, or by its `name`.

    Raises:
        SpecError: when the path leads nowhere.
    """
    changed: Data = _assigned(data, resolve(data, one), one.value)
    return changed


def resolve(data: Any, one: Assignment) -> KeyPath:
    """The path of an assignment, with the names of array entries as indices."""
    path: KeyPath = ()
    for part in one.path:
        match data:
            case dict() | None:
                step: str | int = part
                data = data.get(part) if data else None
            case list():
                step = _index(data, part, path, one.place)
                data = data[step]
            case _:
                msg = f"{dotted(path)} is a value, not a table"
                raise SpecError(f"{shown_place(one.place)}: {dotted(one.path)}: {msg}")
        path = (*path, step)
    return path


def _index(entries: list[Any], part: str, path: KeyPath, place: Place) -> int:
    names = [each.get("name") if isinstance(each, dict) else None for each in entries]
    if part in names:
        return names.index(part)
    if part.isascii() and part.isdigit() and int(part[:9]) < len(entries):
        return int(part[:9])
    valid = [name for name in names if isinstance(name, str)]
    listed = choice(part, valid) if valid else f"expected 0 to {len(entries) - 1}"
    raise SpecError(f"{shown_place(place)}: {dotted(path)} has no entry {part!r}, {listed}")


def _assigned(data: Any, path: KeyPath, value: Any) -> Any:
    if not path:
        return merge(data, value) if _merges(data, value) else value
    step, *rest = path
    if isinstance(data, list):
        return [
            _assigned(each, tuple(rest), value) if index == step else each
            for index, each in enumerate(data)
        ]
    table = data or {}
    top = {step: _assigned(table.get(step), tuple(rest), value)}
    return {**table, **top} if _merges(table, top) else top


def combinations(sweep: Data, found: Places) -> Iterator[tuple[Assignment, ...]]:
    """Every combination of a `[sweep]`, the last path varying fastest.

    Raises:
        SpecError: when an axis is not an array of values, or there are too many combinations.
    """
    axes = [
        [Assignment(path=path, value=value, place=place) for value in values]
        for path, values, place in _axes(sweep, (), found)
    ]
    num = math.prod(len(axis) for axis in axes)
    if num > MAX_RUNS:
        place = shown_place(_sweep_place((), found))
        raise SpecError(f"{place}: sweep: makes {num} runs, expected at most {MAX_RUNS}")
    return product(*axes)


def _axes(
    table: Any, path: tuple[str, ...], found: Places
) -> Iterator[tuple[tuple[str, ...], list[Any], Place]]:
    place = _sweep_place(path, found)
    if isinstance(table, dict) and table:
        for key, inner in table.items():
            yield from _axes(inner, (*path, key), found)
    elif path and isinstance(table, list) and table:
        parts = tuple(chain.from_iterable(toml.key_path(part) or (part,) for part in path))
        if parts[0] in OUTSIDE_SPEC:
            msg = f"{parts[0]} can be said only in a file, for all of its runs"
            raise SpecError(f"{shown_place(place)}: {dotted(('sweep', *path))}: {msg}")
        yield parts, table, place
    else:
        msg = f"expected an array of values, got {shown(table)}"
        raise SpecError(f"{shown_place(place)}: {dotted(('sweep', *path))}: {msg}")


def _sweep_place(path: tuple[str, ...], found: Places) -> Place:
    return nearest_place(("sweep", *path), found) or ("--set sweep", 0)


def nearest_place(path: KeyPath, found: Places) -> Place | None:
    """Where a path was set, or else the nearest table above it."""
    above = (path[:size] for size in range(len(path), 0, -1))
    return next((found[each] for each in above if each in found), None)


def shown_place(place: Place) -> str:
    """`file:line`, as editors read it."""
    name, line = place
    return f"{name}:{line}" if line else name
