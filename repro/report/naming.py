"""How a claims file names things: `spec:evaluation`, or `spec:evaluation@step` of several."""

import re
from typing import Any

from attrs import field

from repro.spec import fields
from repro.spec.problems import shown

NAME = r"[a-z0-9][a-z0-9.-]*"
SIDE = rf"(?P<spec>{NAME}):(?P<evaluation>{NAME}(?:@[0-9]+)?)"
SIDES = rf"(?P<spec>{NAME}):(?P<evaluation>[a-z0-9*][a-z0-9.*-]*(?:@(?:[0-9]+|\*))?)"
"""Several sides at once: `*` stands for any part of a name, `@*` for every checkpoint."""


def a_side(_: Any, __: Any, value: str) -> None:
    if not re.fullmatch(SIDE, value):
        msg = f"expected spec:evaluation or spec:evaluation@step, got {shown(value)}"
        raise ValueError(msg)


def a_side_or_none(instance: Any, attribute: Any, value: str | None) -> None:
    if value is not None:
        a_side(instance, attribute, value)


def some_sides(_: Any, __: Any, value: str) -> None:
    if not re.fullmatch(SIDES, value):
        msg = f"expected sides like spec:evaluation, spec:name-* or spec:name@*, got {shown(value)}"
        raise ValueError(msg)


def sentence() -> Any:
    """Words, at least one."""
    return field(validator=_a_sentence)


def side() -> Any:
    """The name of one side."""
    return field(validator=a_side)


def sides() -> Any:
    """The names of several sides, or of none."""
    return field(default=(), validator=fields.each(a_side))


def _a_sentence(_: Any, __: Any, value: str) -> None:
    if not value.strip():
        msg = f"expected words, got {shown(value)}"
        raise ValueError(msg)
