"""Charts: every mark lies in the picture, whatever the numbers are."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from repro.report import plots, svg
from repro.report.svg import Line, Mark, Row

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def places(picture: str) -> list[tuple[float, float]]:
    """Where the dots of a chart are."""
    dots = ET.fromstring(picture).iter("circle")
    return [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in dots]


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20))
@example([(0.0, 5e-324)])
@example([(0.0, -1.7e308), (1.0, 1.7e308)])
@example([(0.0, 1.0), (1.0, 1.0 + 2**-52)])
def test_every_mark_is_in_the_picture(points: list[tuple[float, float]]):
    """Also where all numbers are equal, zero, or at either end of what a float holds."""
    marks = tuple(Mark(x=x, y=y) for x, y in points)

    found = places(svg.chart([Line(label="a", marks=marks)], x_label="x", y_label="y"))

    assert len(found) == len(points)
    assert all(0 <= x <= svg.WIDTH and 0 <= y <= svg.HEIGHT for x, y in found)


@given(st.lists(st.tuples(NUMBERS, NUMBERS.filter(lambda y: y > 0)), min_size=1, max_size=20))
@example([(0.0, 5e-324)])
@example([(0.0, 5e-324), (1.0, 1.7e308)])
def test_every_mark_is_in_the_picture_of_a_logarithmic_axis(points: list[tuple[float, float]]):
    """Whatever the decades."""
    marks = tuple(Mark(x=x, y=y) for x, y in points)

    found = places(svg.chart([Line(label="a", marks=marks)], x_label="x", y_label="y", log="y"))

    assert len(found) == len(points)
    assert all(0 <= x <= svg.WIDTH and 0 <= y <= svg.HEIGHT for x, y in found)


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9))
def test_ticks_are_few_and_on_the_axis(low: float, spread: float):
    """From one to nine round numbers."""
    axis = svg.axis_of([low, low + spread], 0, 100)

    assert 1 <= len(axis.ticks) <= 9
    assert all(-1 <= axis(each) <= 101 for each in axis.ticks)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 100, [1, 2, 5, 10, 20, 50, 100]),
        (1, 1e4, [1, 10, 100, 1000, 1e4]),
        (3, 4, [3, 3.2, 3.4, 3.6, 3.8, 4]),
    ],
)
def test_ticks_of_a_logarithmic_axis(low: float, high: float, expected: list[float]):
    """Powers of ten where they are many, steps between where they are few."""
    ticks = svg.axis_of([low, high], 0, 100, log=True).ticks

    assert set(expected) <= {round(each, 9) for each in ticks}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (-2.5, "−2.5"),
        (52685.0, "52,685"),
        (1e-7, "1e−07"),
        (0.30000000000000004, "0.3"),
    ],
)
def test_a_number_at_a_tick(value: float, expected: str):
    """Short, and as people write it."""
    assert svg.number(value) == expected


def test_what_has_no_place_is_left_out():
    """Infinities, and on a logarithmic axis what is not above zero."""
    marks = tuple(Mark(x=x, y=y) for x, y in ((1, math.inf), (1, -1.0), (0, 1.0), (1, 2.0)))

    picture = svg.chart([Line(label="a", marks=marks)], x_label="x", y_label="y", log=("x", "y"))

    assert len(places(picture)) == 1


def test_an_interval_is_drawn():
    """1.96 standard errors to either side, and the value for infinite n hollow beside it."""
    picture = svg.rows([Row(label="a & b", value=10.0, se=1.0, hollow=9.0)], label="FID")

    assert picture.count('class="bar s1"') == 1
    assert picture.count('class="hollow"') == 1
    assert "a &amp; b: 10 ± 1" in picture


def test_several_lines_are_named():
    """Each with its colour; names that would leave the picture go to a row of their own."""
    lines = [Line(label=f"a rather long name {n}", marks=(Mark(x=0, y=n),)) for n in range(6)]

    picture = svg.chart(lines, x_label="x", y_label="y")

    xs = [float(each) for each in re.findall(r'class="name" x="([\d.]+)"', picture)]
    assert len(xs) == 6
    assert len(set(xs)) < 6


def test_words_are_an_axis():
    """Where x is no number."""
    plot = {
        "metric": "fid",
        "x": "network.qk_norm",
        "scatter": False,
        "log": [],
        "series": [
            {
                "label": "a",
                "metric": "fid",
                "points": [{"x": each, "y": 1.0, "se": None} for each in ("rms", "unit")],
            }
        ],
    }

    picture = plots.asked(plot, {"fid": "FID"})

    assert ">rms<" in picture
    assert ">unit<" in picture


@pytest.mark.parametrize(
    ("x", "metrics", "across", "up"),
    [
        ("step", ["fid"], "step", "FID"),
        ("sample.sampler.path.ahead", ["fid"], "sampler path ahead", "FID"),
        ("probe.sampler.prior_scale", ["fid.0-199", "fid.200-399"], "sampler prior scale", "FID"),
        ("seconds", ["fid", "kid"], "seconds of training", "value"),
    ],
)
def test_axes_are_named_for_a_reader(x, metrics, across, up):
    """A field without the table that it is in; what is up is what all series are of."""
    points = [{"x": 1.0, "y": 2.0, "se": None}]
    series = [{"label": each, "metric": each, "points": points} for each in metrics]
    plot = {"metric": "fid", "x": x, "scatter": False, "log": [], "series": series}

    picture = plots.asked(plot, {"fid": "FID"})

    assert f">{across}<" in picture
    assert f">{up}<" in picture


def test_a_plot_without_points_is_no_picture():
    """Its series say what is missing."""
    plot = {"metric": "fid", "x": "step", "scatter": False, "log": [], "series": []}

    assert plots.asked(plot, {}) == ""
