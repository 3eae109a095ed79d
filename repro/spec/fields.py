"""How a spec class declares its fields: bounds, sizes for a rehearsal, fields that came late.

A validator says what it expected and what it got. The loader adds the file, the line and the path.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from attrs import NOTHING, Attribute, field

REHEARSAL = "rehearsal"
ADDED = "added"
OUTSIDE_IDENTITY = "outside identity"

Validator = Callable[[Any, "Attribute[Any]", Any], None]


def added(default: Any) -> Any:
    """A field that came after ids were given out: absent from them at its default."""
    return field(default=default, metadata={ADDED: True})


def note(default: Any) -> Any:
    """A field for people: it is never part of an identity."""
    return field(default=default, metadata={OUTSIDE_IDENTITY: True})


def count(*, default: Any = NOTHING, rehearsal: int | None = None, least: int = 1) -> Any:
    """A whole number of at least *least*; a rehearsal uses at most *rehearsal*."""
    return field(default=default, validator=at_least(least), metadata=_cap(rehearsal))


def widths(*, default: Any, rehearsal: int) -> Any:
    """Layer widths, at least one; a rehearsal uses at most *rehearsal* each."""
    return several(at_least(1), default=default, metadata=_cap(rehearsal))


def several(
    member: Validator, *, default: Any = NOTHING, metadata: dict[str, Any] | None = None
) -> Any:
    """An array of at least one entry, every entry held to *member*."""
    return field(default=default, validator=[not_empty, each(member)], metadata=metadata)


def number(*, default: Any = NOTHING, least: float = -math.inf, most: float = math.inf) -> Any:
    """A finite number from *least* to *most*."""
    return field(default=default, validator=[finite, at_least(least), at_most(most)])


def positive(*, default: Any = NOTHING) -> Any:
    """A finite number above zero."""
    return field(default=default, validator=[finite, above(0)])


def non_negative(*, default: Any = NOTHING) -> Any:
    """A finite number of zero or above."""
    return field(default=default, validator=[finite, at_least(0)])


def fraction(*, default: Any = NOTHING) -> Any:
    """A number from 0 up to, but not including, 1."""
    return field(default=default, validator=part_of_one)


def text(pattern: str, *, default: Any = NOTHING) -> Any:
    """A string that *pattern* matches as a whole."""
    return field(default=default, validator=matching(pattern))


def content_digest() -> Any:
    """The SHA-256 digest that pins what a path or a name stands for."""
    return text(r"sha256:[0-9a-f]{64}")


def at_least(bound: float) -> Validator:
    def check(_: Any, __: "Attribute[Any]", value: Any) -> None:
        if value is not None and value < bound:
            msg = f"expected at least {bound}, got {value!r}"
            raise ValueError(msg)

    return check


def at_most(bound: float) -> Validator:
    def check(_: Any, __: "Attribute[Any]", value: Any) -> None:
        if value > bound:
            msg = f"expected at most {bound}, got {value!r}"
            raise ValueError(msg)

    return check


def above(bound: float) -> Validator:
    def check(_: Any, __: "Attribute[Any]", value: Any) -> None:
        if value <= bound:
            msg = f"expected a number above {bound}, got {value!r}"
            raise ValueError(msg)

    return check


def matching(pattern: str) -> Validator:
    compiled = re.compile(pattern)

    def check(_: Any, __: "Attribute[Any]", value: Any) -> None:
        if not compiled.fullmatch(value):
            msg = f"expected text like {pattern}, got {value[:80]!r}"
            raise ValueError(msg)

    return check


def each(member: Validator) -> Validator:
    def check(instance: Any, attribute: "Attribute[Any]", values: Any) -> None:
        for value in values:
            member(instance, attribute, value)

    return check


def not_empty(_: Any, __: "Attribute[Any]", value: Any) -> None:
    if not value:
        msg = "expected at least one entry, got none"
        raise ValueError(msg)


def finite(_: Any, __: "Attribute[Any]", value: Any) -> None:
    if not math.isfinite(value):
        msg = f"expected a finite number, got {value!r}"
        raise ValueError(msg)


def part_of_one(_: Any, __: "Attribute[Any]", value: Any) -> None:
    if not 0 <= value < 1:
        msg = f"expected a number from 0 to less than 1, got {value!r}"
        raise ValueError(msg)


def _cap(rehearsal: int | None) -> dict[str, Any]:
    return {} if rehearsal is None else {REHEARSAL: rehearsal}
