"""How a value is written: no digit beyond the first uncertain one (evaluation rule A4)."""

import math

DIGITS_WITHOUT_ERROR = 4


def with_error(value: float | None, se: float | None) -> str:
    """`294 ± 1`: the value rounded to the first digit of its standard error."""
    if value is None or not math.isfinite(value):
        return "not finite"
    if se is None or not math.isfinite(se) or se <= 0:
        return f"{value:.{DIGITS_WITHOUT_ERROR}g}"
    rounded = float(f"{se:.0e}")
    place = math.floor(math.log10(rounded))
    return f"{_to_place(value, place)} ± {_to_place(rounded, place)}"


def with_sign(value: float, se: float) -> str:
    """`+0.4 ± 0.1`: a difference, its sign always written."""
    text = with_error(value, se)
    return text if text.startswith("-") else f"+{text}"


def _to_place(value: float, place: int) -> str:
    return f"{round(value, -place) + 0.0:.{max(0, -place)}f}"
