"""What a source tells: runs, their curves, and whatever else it says about them."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

Facts = Mapping[str, Any]

_WORDS = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "infinity": math.inf,
    "-infinity": -math.inf,
}
_MAX_STEP = 2**63


@frozen(kw_only=True)
class Curve:
    """A metric's numbers, in the order in which they were told; a single number is a short curve.

    A step is none where the source has none. `facts` is about these numbers alone.
    """

    metric: str
    steps: tuple[int | None, ...]
    values: tuple[float, ...]
    num_samples: int | None = None
    facts: Facts = field(factory=dict)


@frozen(kw_only=True)
class Run:
    """A run of the source; `source` and `study` are empty where it names none."""

    name: str
    curves: tuple[Curve, ...]
    facts: Facts = field(factory=dict)
    source: str = ""
    study: str = ""


Notify = Callable[[str], None]
Reader = Callable[[Path, Notify], Iterator[Run]]


def number(value: Any) -> float | None:
    """A number, also one that is written as NaN or Infinity; none for anything else."""
    match value:
        case bool():
            return None
        case int() | float():
            return _as_float(value)
        case str():
            return _WORDS.get(value.lower())
        case _:
            return None


def step(value: Any) -> int | None:
    """A step as a whole number of 64 bits; none for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_MAX_STEP <= value < _MAX_STEP else None


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables as dotted names and values; a list is a value."""
    if not isinstance(value, Mapping):
        yield prefix, value
        return
    for name, item in value.items():
        yield from flat(item, f"{prefix}.{name}" if prefix else str(name))


def _as_float(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
