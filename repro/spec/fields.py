"""How a spec class declares its fields: bounds, fields that came late, sizes for a rehearsal."""

from typing import Any

from attrs import field, validators

REHEARSAL = "rehearsal"
ADDED = "added"
OUTSIDE_IDENTITY = "outside identity"


def added(default: Any) -> Any:
    """A field that came after ids were given out: absent from them at its default."""
    return field(default=default, metadata={ADDED: True})


def note(default: Any) -> Any:
    """A field for people: it is never part of an identity."""
    return field(default=default, metadata={OUTSIDE_IDENTITY: True})


def count(*, default: Any = ..., rehearsal: int | None = None, least: int = 1) -> Any:
    """A whole number of at least *least*; a rehearsal uses at most *rehearsal*."""
    return _bounded(validators.ge(least), default=default, rehearsal=rehearsal)


def positive(*, default: Any = ...) -> Any:
    """A number above zero."""
    return _bounded(validators.gt(0), default=default, rehearsal=None)


def non_negative(*, default: Any = ...) -> Any:
    """A number of zero or above."""
    return _bounded(validators.ge(0), default=default, rehearsal=None)


def fraction(*, default: Any = ...) -> Any:
    """A number from 0 up to, but not including, 1."""
    return _bounded(
        validators.and_(validators.ge(0), validators.lt(1)), default=default, rehearsal=None
    )


def _bounded(validator: Any, *, default: Any, rehearsal: int | None) -> Any:
    metadata = {} if rehearsal is None else {REHEARSAL: rehearsal}
    if default is ...:
        return field(validator=validator, metadata=metadata)
    return field(default=default, validator=validator, metadata=metadata)
