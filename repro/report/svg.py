"""Charts as inline SVG: axes, lines, dots with intervals; colours and fonts are the page's.

A library for plots takes a second to load, which is more than the rest of a report; these few marks
need none. Lengths are in pixels of the picture's own size.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Literal

from attrs import evolve, frozen

from repro.report.rounding import with_error

WIDTH, HEIGHT = 640, 300
PANEL_WIDTH, PANEL_HEIGHT = 400, 250
ROW, TOP, BOTTOM, RIGHT = 26, 12, 46, 18
CHAR, MAX_LABEL, INDENT = 6.6, 36, 8.0
NUM_COLOURS = 6
MAX_MARKS = 80
MARGIN = 0.06
"""How far an axis goes beyond its numbers, as a share of their spread."""

SMALLEST, LARGEST = 1e-150, 1e150
"""What is beyond is drawn as if it were there, so that no difference over- or underflows."""

TOLD_APART = 1e-12
"""Numbers nearer to each other than this share of their size are drawn as one."""

FEW_DECADES = 2.5
PLAIN = 1e-3, 1e6
"""Numbers between these are written out."""

_NICE = (1, 2, 2.5, 5, 10)
Shape = Literal["line", "dots", "line and dots"]


@frozen(kw_only=True)
class Mark:
    """A number at a place; `se` draws its 95 % interval, `label` is told on pointing at it."""

    x: float
    y: float
    se: float | None = None
    label: str = ""


@frozen(kw_only=True)
class Line:
    """Marks of one colour, joined or not."""

    label: str
    marks: tuple[Mark, ...]
    shape: Shape = "line and dots"


@frozen(kw_only=True)
class Row:
    """A named value with its interval, and another beside it that is drawn hollow."""

    label: str
    value: float
    se: float | None = None
    hollow: float | None = None


@frozen(kw_only=True)
class Axis:
    """Numbers from *low* to *high* on pixels from *start* to *stop*."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a number; what lies beyond an end is drawn at that end."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return self.start + (at - low) / (high - low) * (self.stop - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round numbers on the axis."""
        found = _decades(self.low, self.high) if self.log else _even(self.low, self.high)
        return found if len(found) > 1 else _even(self.low, self.high)


def axis_of(numbers: Iterable[float], start: float, stop: float, *, log: bool = False) -> Axis:
    """An axis that holds all of these finite numbers; logarithmic only if all are above zero."""
    known = [min(max(each, -LARGEST), LARGEST) for each in numbers] or [0.0, 1.0]
    low, high = min(known), max(known)
    log = log and low > 0
    size = max(abs(low), abs(high))
    one = high - low <= max(TOLD_APART * size, SMALLEST)
    if log:
        low, high = max(low, SMALLEST), max(high, SMALLEST)
        spread = 0.5 if one else math.log10(high) - math.log10(low)
        low, high = low / 10 ** (MARGIN * spread), high * 10 ** (MARGIN * spread)
    else:
        spread = (size if size > SMALLEST else 1.0) if one else high - low
        low, high = low - MARGIN * spread, high + MARGIN * spread
    return Axis(low=low, high=high, start=start, stop=stop, log=log)


def chart(
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    log: Iterable[str] = (),
    words: Sequence[str] = (),
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> str:
    """Lines over a horizontal axis; *words* are written at 0, 1, 2... in the place of numbers."""
    width, height = size
    key, key_height = _legend([each.label for each in lines], width)
    shown = [_drawable(each, log) for each in lines]
    marks = [mark for line in shown for mark in line.marks]
    heights = [bound for mark in marks for bound in _bounds(mark, positive="y" in log)]
    top = TOP + key_height
    ups = axis_of(heights, height - BOTTOM, top, log="y" in log)
    left = 34 + CHAR * max(len(number(each)) for each in ups.ticks)
    across = axis_of([mark.x for mark in marks], left, width - RIGHT, log="x" in log)
    if words:
        across = evolve(across, low=-0.5, high=len(words) - 0.5, log=False)
    labels = {each: number(each) for each in across.ticks}
    if words:
        labels = {float(place): word for place, word in enumerate(words)}
    body = [
        *_horizontal(ups, across),
        *_below(across, labels, height - BOTTOM),
        _text(x_label, (left + width - RIGHT) / 2, height - 8, "middle"),
        _text(y_label, 0, 0, "middle", turn=(11, (top + height - BOTTOM) / 2)),
        *key,
    ]
    for index, line in enumerate(shown):
        body += _line(line, across, ups, index % NUM_COLOURS + 1)
    return _svg(body, width, height, f"{y_label} over {x_label}")


def rows(values: Sequence[Row], *, label: str, log: bool = False, own: bool = True) -> str:
    """Values from top to bottom, each with its 95 % interval; those of others are drawn hollow."""
    width = WIDTH
    height = TOP + ROW * len(values) + BOTTOM - 4
    names = [_short(each.label) for each in values]
    left = 14 + CHAR * max(map(len, names), default=0)
    numbers = [bound for each in values for bound in _extent(each, positive=log)]
    across = axis_of(numbers, left, width - RIGHT, log=log)
    ends = TOP, TOP + ROW * len(values)
    labels = {each: number(each) for each in across.ticks}
    body = [_text(label, (left + width - RIGHT) / 2, height - 6, "middle")]
    for at in labels:
        body.append(_rule(across(at), ends[0], across(at), ends[1]))
    body += _below(across, labels, ends[1], rule=False)
    for index, (name, each) in enumerate(zip(names, values, strict=True)):
        y = TOP + ROW * (index + 0.5)
        body.append(_text(name, left - 8, y + 4, "end", kind="name"))
        body += _interval(each, across, y, kind="dot s1" if own else "theirs s1")
    return _svg(body, width, height, label)


def number(value: float) -> str:
    """A number at a tick: short, with a real minus sign and thousands apart."""
    plain = PLAIN[0] <= abs(value) < PLAIN[1]
    text = f"{round(value, 10):,.6g}" if value == 0 or plain else f"{value:.3g}"
    return text.replace("-", "−")


def _interval(row: Row, across: Axis, y: float, *, kind: str) -> Iterator[str]:
    title = f"<title>{escape(row.label)}: {escape(with_error(row.value, row.se))}</title>"
    if row.se:
        low, high = _extent(row, positive=across.log)[:2]
        yield (
            f'<path class="bar s1" d="M{across(low):.1f} {y:.1f}H{across(high):.1f}'
            f'M{across(low):.1f} {y - 4:.1f}v8M{across(high):.1f} {y - 4:.1f}v8"/>'
        )
    if row.hollow is not None and math.isfinite(row.hollow):
        yield f'<circle class="hollow" cx="{across(row.hollow):.1f}" cy="{y:.1f}" r="3.5"/>'
    yield f'<circle class="{kind}" cx="{across(row.value):.1f}" cy="{y:.1f}" r="4">{title}</circle>'


def _line(line: Line, across: Axis, ups: Axis, colour: int) -> Iterator[str]:
    places = [(across(mark.x), ups(mark.y)) for mark in line.marks]
    if line.shape != "dots" and len(places) > 1:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        yield f'<path class="line s{colour}" d="M{path}"/>'
    if len(places) > MAX_MARKS and line.shape == "line and dots":
        return
    for mark, (x, y) in zip(line.marks, places, strict=True):
        if mark.se:
            low, high = _bounds(mark, positive=ups.log)
            yield f'<path class="bar s{colour}" d="M{x:.1f} {ups(low):.1f}V{ups(high):.1f}"/>'
        if line.shape != "line":
            title = mark.label or f"{line.label}: {with_error(mark.y, mark.se)}"
            yield (
                f'<circle class="dot s{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
                f"<title>{escape(title)}</title></circle>"
            )


def _drawable(line: Line, log: Iterable[str]) -> Line:
    """A line without what has no place: what is not finite, or not above zero on a log axis."""
    positive = set(log)
    kept = tuple(
        mark
        for mark in line.marks
        if all(
            math.isfinite(value) and (value > 0 or axis not in positive)
            for axis, value in (("x", mark.x), ("y", mark.y))
        )
    )
    return evolve(line, marks=kept)


def _bounds(mark: Mark, *, positive: bool) -> tuple[float, float]:
    """The ends of a mark's interval; on a logarithmic axis it does not reach below a tenth."""
    spread = 1.96 * (mark.se or 0.0)
    low = mark.y - spread
    return (max(low, mark.y / 10) if positive else low), mark.y + spread


def _extent(row: Row, *, positive: bool) -> list[float]:
    ends = _bounds(Mark(x=0.0, y=row.value, se=row.se), positive=positive)
    beside = [row.hollow] if row.hollow is not None and math.isfinite(row.hollow) else []
    return [*ends, *(each for each in beside if each > 0 or not positive)]


def _horizontal(ups: Axis, across: Axis) -> Iterator[str]:
    for at in ups.ticks:
        y = ups(at)
        yield _rule(across.start, y, across.stop, y)
        yield _text(number(at), across.start - 6, y + 4, "end", kind="tick")


def _below(
    across: Axis, labels: Mapping[float, str], y: float, *, rule: bool = True
) -> Iterator[str]:
    for at, text in labels.items():
        if rule:
            yield _rule(across(at), y, across(at), y + 4)
        yield _text(text, across(at), y + 17, "middle", kind="tick")


def _legend(labels: Sequence[str], width: int) -> tuple[list[str], int]:
    """The names of lines above the chart, in as many rows as they need, and their height."""
    if len(labels) == 1:
        return [], 0
    made, x, y = [], INDENT, 14.0
    for index, label in enumerate(map(_short, labels)):
        wide = 22 + CHAR * len(label) + 12
        if x + wide > width and x > INDENT:
            x, y = INDENT, y + 18
        colour = index % NUM_COLOURS + 1
        made.append(f'<path class="line s{colour}" d="M{x:.0f} {y - 4:.0f}h14"/>')
        made.append(_text(label, x + 20, y, "start", kind="name"))
        x += wide
    return made, int(y + 8)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="grid" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def _text(
    text: str,
    x: float,
    y: float,
    anchor: str,
    *,
    kind: str = "label",
    turn: tuple[float, float] | None = None,
) -> str:
    place = (
        f'x="{x:.1f}" y="{y:.1f}"'
        if turn is None
        else f'transform="translate({turn[0]:.1f} {turn[1]:.1f}) rotate(-90)"'
    )
    return f'<text class="{kind}" {place} text-anchor="{anchor}">{escape(text)}</text>'


def _short(label: str) -> str:
    """A label that leaves room for the chart; its end often says more than its middle."""
    if len(label) <= MAX_LABEL:
        return label
    return f"{label[: MAX_LABEL // 3]}…{label[1 - MAX_LABEL + MAX_LABEL // 3 :]}"


def _svg(body: Iterable[str], width: int, height: int, label: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" style="max-width:{width}px"'
        f' role="img" aria-label="{escape(label)}">{"".join(body)}</svg>'
    )


def _even(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of a round step, at most about so many."""
    rough = (high - low) / most
    power = math.floor(math.log10(rough))
    step = next(each * 10.0**power for each in _NICE if each * 10.0**power >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(each * step, 2 - power) for each in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 between them where they are few, and thinned where many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    few = math.log10(high / low) < FEW_DECADES
    steps = (1, 2, 5) if few else (1,)
    every = max(1, (last - first) // 6)
    found = [times * 10.0**power for power in range(first, last + 1, every) for times in steps]
    return [each for each in found if low <= each <= high]
