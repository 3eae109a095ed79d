"""The points of the plots that a claims file asks for, from the numbers on record."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from repro.report import numbers
from repro.report.archive import Archive
from repro.report.beside import Plot, Series
from repro.report.numbers import Number, Place
from repro.report.sides import Study

OTHER_METRIC = "metric:"
X = float | str


@frozen(kw_only=True)
class Point:
    """A number over x, with its standard error if one is known."""

    x: X
    y: float
    se: float | None
    side: str


def of_plot(plot: Plot, study: Study, archive: Archive) -> dict[str, Any]:
    """A plot as plain data: each series with its points, and the sides that have none."""
    told = [_of_series(each, plot, study, archive) for each in plot.series]
    return {
        "name": plot.name,
        "title": plot.title,
        "claim": plot.claim,
        "metric": plot.metric,
        "x": plot.x.removeprefix(OTHER_METRIC),
        "scatter": plot.x.startswith(OTHER_METRIC),
        "log": list(plot.log),
        "series": told,
    }


def _of_series(series: Series, plot: Plot, study: Study, archive: Archive) -> dict[str, Any]:
    metric = series.metric or plot.metric
    points: list[Point] = []
    empty = []
    for side in series.sides:
        found = [
            point
            for place in _places(side, study)
            for point in _means(_points(place, metric, plot.x, archive), series.mean_of)
        ]
        points += found
        if not found:
            empty.append(side)
    merged = points if plot.x.startswith(OTHER_METRIC) else _over_runs(points)
    return {
        "label": series.label,
        "metric": metric,
        "points": [{"x": each.x, "y": each.y, "se": each.se} for each in merged],
        "empty": empty,
    }


def _places(side: str, study: Study) -> Iterator[Place]:
    spec_name, _, pattern = side.partition(":")
    for spec in study.runs.get(spec_name, ()):
        yield from numbers.places(spec, pattern)


def _points(place: Place, metric: str, x: str, archive: Archive) -> list[Point]:
    return [
        Point(x=at, y=number.value, se=number.se, side=place.stage.name)
        for number in numbers.numbers(place, metric, archive)
        for at in _x(number, x, place, archive)
    ]


def _x(number: Number, x: str, place: Place, archive: Archive) -> Iterator[X]:
    """Where a number stands: at none, one, or several places."""
    if x == "step":
        found = number.step
        yield from () if found is None else (float(found),)
    elif x == "seconds":
        seconds = _seconds(number, place, archive)
        yield from () if seconds is None else (seconds,)
    elif x == "parameters":
        yield from _parameters(place, archive)
    elif x.startswith(OTHER_METRIC):
        yield from others(number, x.removeprefix(OTHER_METRIC), place, archive)
    else:
        value = numbers.field(place, x)
        if isinstance(value, bool | str):
            yield str(value).lower()
        elif isinstance(value, int | float):
            yield float(value)


def _seconds(number: Number, place: Place, archive: Archive) -> float | None:
    """How long training took until a moment of it, by its share of the updates."""
    training = place.training
    if training is None or number.step is None:
        return None
    done = [
        each.elapsed_s
        for each in archive.events.get(training.stage_id, ())
        if each.event == "done" and each.elapsed_s is not None
    ]
    last = training.spec.train.steps
    return done[0] * number.step / last if done else None


def _parameters(place: Place, archive: Archive) -> Iterator[float]:
    """How many the network has, as its training told when it was done."""
    events = archive.events.get(place.training.stage_id, ()) if place.training else ()
    found = [each.facts["parameters"] for each in events if "parameters" in each.facts]
    yield from map(float, found[:1])


def others(number: Number, metric: str, place: Place, archive: Archive) -> Iterator[float]:
    """Another metric of the same run and step: of the same stage, else of the first that has it."""
    for other in (place, *numbers.places(place.spec, "*")):
        for each in numbers.numbers(other, metric, archive):
            if each.step == number.step:
                yield each.value
                return


def _means(points: Sequence[Point], many: int) -> list[Point]:
    """Means of so many points in a row; the rest at the end is a mean of fewer."""
    if many == 1 or any(isinstance(each.x, str) for each in points):
        return list(points)
    rows = (points[first : first + many] for first in range(0, len(points), many))
    return [
        Point(
            x=statistics.fmean(float(each.x) for each in some),
            y=statistics.fmean(each.y for each in some),
            se=None,
            side=some[0].side,
        )
        for some in rows
    ]


def _over_runs(points: Sequence[Point]) -> list[Point]:
    """Points of equal x and side become one: the mean over runs, and its error."""
    alike: Mapping[tuple[X, str], list[Point]] = defaultdict(list)
    for each in points:
        alike[each.x, each.side].append(each)
    return sorted(map(_mean, alike.values()), key=lambda each: _order(each.x))


def _mean(points: Sequence[Point]) -> Point:
    first = points[0]
    if len(points) == 1:
        return first
    values = [each.y for each in points]
    se = statistics.stdev(values) / math.sqrt(len(values))
    return Point(x=first.x, y=statistics.fmean(values), se=se, side=first.side)


def _order(x: X) -> float:
    """Numbers by size; words stay in the order in which the file names them."""
    return 0.0 if isinstance(x, str) else x
