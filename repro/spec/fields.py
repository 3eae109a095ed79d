"""How a spec class declares its fields: bounds, sizes for a rehearsal, what an identity leaves out.

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
UNPINNED = "unpinned"

NUM_SEEDS = 2**32
"""torch's CPU generator (mt19937) keeps 32 bits of a seed: larger ones would repeat these."""
# Far above what anybody runs: a larger value is a slip, better found before memory runs out.
MAX_COUNT = 1_000_000
MAX_IMAGES = 10_000_000
MAX_STEPS = 1_000_000_000
MAX_SIDE = 4_096
MAX_PATCH = 256
MAX_WIDTH = 65_536

Validator = Callable[[Any, "Attribute[Any]", Any], None]


def added(default: Any, *, validator: Any = None) -> Any:
    """A field that came after ids were given out: absent from them at its default."""
    return field(default=default, validator=validator, metadata={ADDED: True})


def note(default: Any) -> Any:
    """A field for people: it is never part of an identity."""
    return field(default=default, metadata={OUTSIDE_IDENTITY: True})


def location() -> Any:
    """Where content lies on this machine: its digest is compared and identified, not its path."""
    return field(eq=False, validator=matching(".+"), metadata={OUTSIDE_IDENTITY: True})


def count(
    *,
    default: Any = NOTHING,
    rehearsal: int | None = None,
    least: int = 1,
    most: int = MAX_COUNT,
) -> Any:
    """A whole number from *least* to *most*; a rehearsal uses at most *rehearsal*."""
    return field(default=default, validator=between(least, most), metadata=_cap(rehearsal))


def side(*, default: int) -> Any:
    """The height or width of an image, in pixels."""
    return count(default=default, most=MAX_SIDE)


def image_channels(*, default: int) -> Any:
    """The channels of an image: grey or RGB."""
    return field(default=default, validator=one_of(1, 3))


def random_seed(*, default: Any = NOTHING) -> Any:
    """A seed of 32 bits."""
    return count(default=default, least=0, most=NUM_SEEDS - 1)


def widths(*, default: Any, rehearsal: int) -> Any:
    """Layer widths, at least one; a rehearsal uses at most *rehearsal* each."""
    return field(
        default=default,
        validator=[not_empty, each(between(1, MAX_WIDTH))],
        metadata=_cap(rehearsal),
    )


def multiple(of: int, *, default: int, rehearsal: int) -> Any:
    """A width that *of* divides; a rehearsal uses at most *rehearsal*, which it divides too."""
    return field(
        default=default,
        validator=[between(of, MAX_WIDTH), divisible_by(of)],
        metadata=_cap(rehearsal),
    )


def several(member: Validator, *, default: Any = NOTHING) -> Any:
    """An array of at least one entry, every entry held to *member*."""
    return field(default=default, validator=[not_empty, each(member)])


def number(*, default: Any = NOTHING, least: float = -math.inf, most: float = math.inf) -> Any:
    """A finite number from *least* to *most*."""
    return field(default=default, validator=[finite, between(least, most)])


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


def pin() -> Any:
    """The digest of content that not everyone may have, or `unpinned`: then it is yet to be told.

    A spec with such a pin can be rehearsed and planned, and says there how to get the digest.
    """
    return text(rf"sha256:[0-9a-f]{{64}}|{UNPINNED}")


def at_least(bound: float) -> Validator:
    def check(_: Any, __: "Attribute[Any]", value: Any) -> None:
        if value < bound:
            msg = f"expected at least {bound}, got {value!r}"
            raise ValueError(msg)

    return check


def between(least: float, most: float) -> Validator:
    def check(_: Any, __: "Attribute[Any]", value: Any) -> None:
        if value is not None and not least <= value <= most:
            bound = f"at least {least}" if value < least else f"at most {most}"
            msg = f"expected {bound}, got {value!r}"
            raise ValueError(msg)

    return check


def divisible_by(divisor: int) -> Validator:
    def check(_: Any, __: "Attribute[Any]", value: Any) -> None:
        if value % divisor:
            msg = f"expected a multiple of {divisor}, got {value!r}"
            raise ValueError(msg)

    return check


def above(bound: float) -> Validator:
    def check(_: Any, __: "Attribute[Any]", value: Any) -> None:
        if value <= bound:
            msg = f"expected a number above {bound}, got {value!r}"
            raise ValueError(msg)

    return check


def one_of(*valid: int) -> Validator:
    def check(_: Any, __: "Attribute[Any]", value: Any) -> None:
        if value not in valid:
            msg = f"expected one of: {', '.join(map(str, valid))}; got {value!r}"
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
