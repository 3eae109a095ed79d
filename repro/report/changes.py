"""What changed between two pieces of plain data, a line a change: `train.seed: 1 -> 2`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from repro import digest
from repro.spec.problems import KeyPath, dotted

NAMES = ("name", "kind")
"""What tells the entries of an array apart, so that an inserted one does not change all others."""


@frozen(kw_only=True)
class Change:
    """One value at a dotted path. `old` of an added value is none, `new` of a removed one too.

    `reordered` is an array of named entries: `old` and `new` are the names in their order.
    """

    path: str
    what: Literal["changed", "added", "removed", "reordered"]
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        match self.what:
            case "added":
                return f"{self.path}: added, {_text(self.new)}"
            case "removed":
                return f"{self.path}: removed, was {_text(self.old)}"
            case "reordered":
                return f"{self.path}: order {', '.join(self.old)} -> {', '.join(self.new)}"
            case "changed":
                return f"{self.path}: {_text(self.old)} -> {_text(self.new)}"


def changes(old: Any, new: Any) -> tuple[Change, ...]:
    """Every change from *old* to *new*; none if and only if their canonical bytes are equal."""
    return tuple(_changes(old, new, ()))


def _changes(old: Any, new: Any, path: KeyPath) -> Iterator[Change]:
    match old, new:
        case Mapping(), Mapping():
            yield from _in_table(old, new, path)
        case [*_], [*_] if names := _common_names(old, new):
            before, after = names
            in_tables = dict(zip(before, old, strict=True)), dict(zip(after, new, strict=True))
            yield from _in_table(*in_tables, path)
            yield from _reordered(before, after, path)
        case _ if digest.canonical(old) != digest.canonical(new):
            yield Change(path=dotted(path), what="changed", old=old, new=new)
        case _:
            pass


def _in_table(old: Mapping[str, Any], new: Mapping[str, Any], path: KeyPath) -> Iterator[Change]:
    for key in dict.fromkeys((*old, *new)):
        here = (*path, key)
        if key not in new:
            yield Change(path=dotted(here), what="removed", old=old[key])
        elif key not in old:
            yield Change(path=dotted(here), what="added", new=new[key])
        else:
            yield from _changes(old[key], new[key], here)


def _reordered(old: Sequence[str], new: Sequence[str], path: KeyPath) -> Iterator[Change]:
    before, after = [each for each in old if each in new], [each for each in new if each in old]
    if before != after:
        yield Change(path=dotted(path), what="reordered", old=before, new=after)


def _common_names(old: Sequence[Any], new: Sequence[Any]) -> tuple[list[str], list[str]] | None:
    """The names of the entries of both arrays, if one key tells all of them apart."""
    for key in NAMES:
        before, after = _names(old, key), _names(new, key)
        if before is not None and after is not None and (before or after):
            return before, after
    return None


def _names(entries: Sequence[Any], key: str) -> list[str] | None:
    names = [each.get(key) if isinstance(each, Mapping) else None for each in entries]
    told_apart = all(isinstance(each, str) for each in names) and len(set(names)) == len(names)
    return [str(each) for each in names] if told_apart else None


def _text(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
