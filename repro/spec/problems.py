"""What is wrong with a spec: one problem, said in one line."""

import difflib
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import frozen

KeyPath = tuple[str | int, ...]
"""A place in a spec: keys of tables, indices of arrays from 0."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxdict = _SHORT.maxlist = 4
_SHORT.maxstring = 80


@frozen
class Problem:
    """A mistake and where it is."""

    path: KeyPath
    message: str
    unknown: bool = False
    """The key itself is the mistake: without it, the rest can still be judged."""
    asked_by: KeyPath = ()
    """What needs a thing that is missing, and so has the line."""


class Mistake(Exception):  # noqa: N818 - it is one of many, and becomes a SpecError
    """A value that does not fit its field. `below` is where, from the value down."""

    def __init__(self, message: str, *, below: KeyPath = ()) -> None:
        super().__init__(message)
        self.below = below


def dotted(path: KeyPath) -> str:
    """A path as `--set` takes it; what is not a plain key is quoted and cut short."""
    return ".".join(
        str(part) if isinstance(part, int) or _PLAIN.fullmatch(part) else repr(part[:80])
        for part in path
    )


def shown(value: Any) -> str:
    """A value for a message, as TOML has it, cut short however long or deep it is."""
    if isinstance(value, bool):
        return str(value).lower()
    return _SHORT.repr(value)


def choice(name: Any, valid: Iterable[str]) -> str:
    """The nearest of *valid* to a mistyped *name*, or all of them when none is near."""
    names = sorted(set(valid))
    near = difflib.get_close_matches(str(name)[:80], names, n=1)
    listed = f"expected one of: {', '.join(names)}" if names else "there is none"
    return f"did you mean {near[0]!r}? {listed}" if near else listed


def repeated(values: Sequence[Any], path: KeyPath) -> Iterator[Problem]:
    """A problem for each value that an array holds more than once."""
    for value, times in Counter(values).items():
        if times > 1:
            yield Problem(path, f"{value!r} is listed {times} times")
