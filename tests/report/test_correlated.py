"""Controls that hold one number against another, over runs and checkpoints."""

from typing import Any

import pytest

from repro.report import controls
from repro.report.archive import Archive
from repro.report.beside import Control, disagreements
from repro.report.controls import Shown
from tests.report.conftest import Project, trained_spec
from tests.report.fake import Made

NAMES = tuple(f"set-{index}" for index in range(6))
SPEC = trained_spec(*((name, 2, 10_000 * index) for index, name in enumerate(NAMES))).replace(
    '{ kind = "fid" }', '{ kind = "fid" }, { kind = "kid" }'
)


MADE: dict[str, Any] = {name: Made(shift=1.0 + index) for index, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def ran(shared: Project) -> Project:
    shared.run(SPEC, **MADE)
    return shared


def control(**given: Any) -> Control:
    settings = {"name": "a", "text": "A.", "metric": "fid", "scale": "tiny", "other": "kid"}
    return Control(**{**settings, **given})


def check(project: Project, **given: Any) -> Shown:
    return controls.check(control(**given), project.study(), Archive(project.root))


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ({"side": "a:set-*", "relation": "rises-with"}, "shows"),
        ({"side": "a:set-*", "relation": "falls-with"}, "does not show"),
        ({"side": "a:set-*", "relation": "rises-with", "within": "step"}, "shows"),
        ({"side": "a:set-*", "relation": "rises-with", "within": "run"}, "shows"),
        ({"side": "a:set-1", "relation": "rises-with"}, "does not show"),
        ({"side": "a:set-*", "relation": "rises-with", "other": "isc"}, "not run"),
    ],
    ids=["rises", "does not fall", "at one step", "within a run", "one point", "not measured"],
)
def test_two_metrics_of_the_same_sets(given: dict[str, Any], result: str, ran: Project):
    """FID and KID of six sets, ever farther from the reference."""
    assert check(ran, **given).result == result


def test_it_says_how_sure_it_is(ran: Project):
    """The coefficient, its interval and the number of points."""
    shown = check(ran, side="a:set-*", relation="rises-with")

    assert shown.why.startswith("rank correlation of fid with kid: +1.00, 95 % within +0.")
    assert "(6 points; taken as independent" in shown.why


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"relation": "rises-with", "other": None}, "needs `other`, got none"),
        ({"relation": "below", "value": 1.0}, "needs `value`, got ['value', 'other']"),
        ({"relation": "below", "value": 1.0, "other": None}, "is of one side, got 'a:set-*'"),
        (
            {"relation": "below", "value": 1.0, "other": None, "side": "a:b", "within": "step"},
            "expected only with: rises-with, falls-with",
        ),
    ],
)
def test_what_makes_no_sense_is_named(given: dict[str, Any], message: str):
    """A correlation needs another metric; everything else is of one side."""
    found = disagreements(control(**{"side": "a:set-*", **given}), ())

    assert message in "; ".join(each.message for each in found)
