"""How a value is written: no digit beyond the first uncertain one (evaluation rule A4)."""

import math
from typing import TypeGuard

DIGITS_WITHOUT_ERROR = 4
MANY_ERRORS = 10
THOUSAND, SIZES = 1000, ("kB", "MB", "GB", "TB", "PB")


def with_error(value: float | None, se: float | None) -> str:
    """`294 ± 1`: the value rounded to the first digit of its standard error."""
    if _known(value) and _known(se) and se:
        return f"{rounded(value, se)} ± {rounded(float(f'{se:.0e}'), se)}"
    return rounded(value, se)


def rounded(value: float | None, se: float | None) -> str:
    """`294`: the value to the first digit of an error that is not written."""
    if value is None or not math.isfinite(value):
        return "not finite"
    if se is None or not math.isfinite(se) or se <= 0:
        return _minus(f"{value:.{DIGITS_WITHOUT_ERROR}g}")
    place = math.floor(math.log10(float(f"{se:.0e}")))
    return _minus(f"{round(value, -place) + 0.0:.{max(0, -place)}f}")


def with_sign(value: float, se: float) -> str:
    """`+0.4 ± 0.1`: a difference, its sign always written."""
    text = with_error(value, se)
    return text if text.startswith("−") else f"+{text}"


def in_errors(z: float | None) -> str:
    """`44`, `1.3`: how many standard errors, to two digits where few; none where unknown."""
    if z is None:
        return "–"
    return f"{z:.0f}" if z >= MANY_ERRORS else f"{z:.1f}"


def in_bytes(size_bytes: int) -> str:
    """`9.4 GB`: a size to three digits, in units of a thousand."""
    value, units = float(size_bytes), ["B", *SIZES]
    while float(f"{value:.3g}") >= THOUSAND and len(units) > 1:
        value, units = value / THOUSAND, units[1:]
    return f"{value:.3g} {units[0]}"


def _minus(text: str) -> str:
    return f"−{text[1:]}" if text.startswith("-") else text


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
