"""The points of plots: over steps, seconds, fields of the spec and other metrics."""

from typing import Any

import pytest

from repro.report import plotted
from repro.report.archive import Archive
from repro.report.beside import Plot, Series
from tests.report.conftest import Project, trained_spec
from tests.report.fake import PARAMETERS, Made

SPEC = (
    trained_spec(("curve-0", 0, 20_000), ("curve-2", 2, 0)).replace(
        '{ kind = "fid" }', '{ kind = "fid" }, { kind = "kid" }'
    )
    + "\n[sweep]\ntrain.lr = [1e-3, 2e-3]\n"
)


@pytest.fixture(scope="module")
def ran(shared: Project) -> Project:
    shared.write(SPEC)
    shared.run_all(**{"curve-0": Made(shift=3.0), "curve-2": Made(shift=1.0)})
    return shared


def points(project: Project, *sides: str, **given: Any) -> list[dict[str, Any]]:
    series = {"label": "one", "sides": sides, "mean_of": given.pop("mean_of", 1)}
    plot = Plot(name="a", title="A", series=(Series(**series),), **{"metric": "fid", **given})
    (told,) = plotted.of_plot(plot, project.study(), Archive(project.root))["series"]
    found: list[dict[str, Any]] = told["points"]
    return found


def test_a_pattern_names_every_checkpoint(ran: Project):
    """In the order of the steps; runs of a sweep become one point with an error over them."""
    found = points(ran, "a:curve-*")

    assert [each["x"] for each in found] == [0.0, 2.0]
    assert found[0]["y"] > 30 > found[1]["y"]
    assert all(each["se"] == 0.0 for each in found)  # the fake's two runs measure the same


def test_seconds_are_the_share_of_the_updates(ran: Project):
    """Of the second that the fake's training takes."""
    assert [each["x"] for each in points(ran, "a:curve-*", x="seconds")] == [0.0, 1.0]


def test_a_field_of_the_spec_is_an_axis(ran: Project):
    """Also one that is swept."""
    assert [each["x"] for each in points(ran, "a:curve-2", x="train.lr")] == [1e-3, 2e-3]


def test_a_place_in_a_list_is_an_axis(ran: Project):
    """The second of a list; a place that it does not have is no point."""
    assert {each["x"] for each in points(ran, "a:curve-2", x="train.betas.1")} == {0.999}
    assert points(ran, "a:curve-2", x="train.betas.2") == []


def test_capacity_is_an_axis(ran: Project):
    """As many parameters as the training told."""
    assert {each["x"] for each in points(ran, "a:curve-2", x="parameters")} == {PARAMETERS}


def test_words_are_an_axis(ran: Project):
    """Of which each stands where the file names it."""
    assert {each["x"] for each in points(ran, "a:curve-2", x="network.kind")} == {"conv-generator"}


def test_another_metric_is_an_axis(ran: Project):
    """Of the same run and step: a point each, none merged."""
    found = points(ran, "a:curve-*", x="metric:kid")

    assert len(found) == 4
    assert len({each["x"] for each in found}) == 2
    assert sorted(found, key=lambda each: each["x"]) == sorted(found, key=lambda each: each["y"])


def test_logged_numbers_are_shown_as_means(ran: Project):
    """Of two in a row: 0.5 at step 1 and 0.25 at step 2."""
    (found,) = points(ran, "a:train", metric="energy/pixels/0.02", mean_of=2)

    assert (found["x"], found["y"]) == (1.5, 0.375)


def test_what_was_not_run_is_named(ran: Project):
    """A series without points says which sides are missing."""
    plot = Plot(
        name="a", title="A", metric="isc", series=(Series(label="b", sides=("a:curve-2",)),)
    )

    (told,) = plotted.of_plot(plot, ran.study(), Archive(ran.root))["series"]

    assert (told["points"], told["empty"]) == ([], ["a:curve-2"])
