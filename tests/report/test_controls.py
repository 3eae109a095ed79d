"""What controls show: of any number on record, with its error where one is known."""

from typing import Any

import pytest

from repro.report import controls
from repro.report.archive import Archive
from repro.report.beside import Control
from repro.report.claims import Subject
from repro.report.controls import NO_ERROR, Shown
from repro.report.sides import read_specs
from tests.report.conftest import Project, noise_spec, trained_spec
from tests.report.fake import RANDOM_DIGEST, Attempt, Made

SPEC = trained_spec(("untrained", 0, 20_000), ("trained", 2, 0), ("other", 2, 10_000))
MADE: dict[str, Any] = {
    "untrained": Made(shift=3.0),
    "trained": Made(shift=1.0),
    "other": Made(shift=1.0, facts={"extractor.weights_digest": RANDOM_DIGEST}),
}


@pytest.fixture(scope="module")
def ran(shared: Project) -> Project:
    shared.run(SPEC, **MADE)
    return shared


def check(project: Project, **given: Any) -> Shown:
    settings = {"name": "a", "text": "A.", "metric": "fid", "scale": "tiny", **given}
    return controls.check(Control(**settings), project.study(), Archive(project.root))


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ({"side": "a:trained", "relation": "less", "than": "a:untrained"}, "shows"),
        ({"side": "a:trained", "relation": "greater", "than": "a:untrained"}, "shows the opposite"),
        ({"side": "a:trained", "relation": "below", "value": 10.0}, "shows"),
        ({"side": "a:trained", "relation": "above", "value": 10.0}, "does not show"),
        ({"side": "a:trained", "relation": "near", "value": 4.0, "tolerance": 0.5}, "shows"),
        (
            {"side": "a:trained", "relation": "near", "value": 3.0, "tolerance": 0.5},
            "does not show",
        ),
    ],
)
def test_a_relation_of_numbers(given: dict[str, Any], result: str, ran: Project):
    """FIDs of about 4 and 36, held against each other and against numbers."""
    assert check(ran, **given).result == result


def test_what_drowns_in_its_error_is_not_shown(ran: Project):
    """4.0 ± 0.1 is not below 4.01, wherever the estimate lies."""
    value = check(ran, side="a:trained", relation="below", value=1e9).samples[0].value

    shown = check(ran, side="a:trained", relation="below", value=value + 0.01)

    assert shown.result == "does not show"
    assert "1.96 are needed" in shown.why


def test_near_is_more_than_not_shown_to_be_far(ran: Project):
    """No difference is near if 1.96 of its standard errors are more than what is allowed."""
    (sample,) = check(ran, side="a:trained", relation="below", value=1e9).samples
    value, se = sample.value, sample.se
    assert se

    def near(tolerance: float) -> str:
        return check(
            ran, side="a:trained", relation="near", value=value, tolerance=tolerance
        ).result

    assert (near(1.9 * se), near(2.0 * se)) == ("does not show", "shows")


def test_unlike_protocols_are_not_compared(ran: Project):
    """Unless the protocols are what the control is about."""
    named = {"side": "a:trained", "relation": "near", "than": "a:other", "tolerance": 1.0}

    alike, across = check(ran, **named), check(ran, **named, across_protocols=True)

    assert (alike.result, across.result) == ("does not show", "shows")
    assert alike.why.startswith("B1: not comparable: extractor.weights_digest")


def test_what_a_training_logged_is_a_number(ran: Project):
    """The last, or the one of a step; its error is not known, and the sentence says so."""
    named = {"metric": "energy/pixels/0.02", "relation": "below", "value": 0.3}

    last, first = check(ran, side="a:train", **named), check(ran, side="a:train@1", **named)

    assert (last.result, first.result) == ("shows", "does not show")
    assert NO_ERROR in last.why


def test_a_calibration_is_a_number(project: Project):
    """Of the sampler below the evaluation that is named."""
    sampler = '{ kind = "ddim", steps = 50 }'
    project.run(trained_spec(("trained", 2, 0), sampler=sampler))

    shown = check(project, side="a:trained", metric="std_error", relation="below", value=0.0)

    assert shown.result == "shows"
    assert shown.samples[0].numbers[0].told == "calibrated"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"side": "a:trained", "metric": "kid"}, "kid was never recorded"),
        ({"side": "a:trainde"}, "did you mean 'trained'"),
        ({"side": "b:trained"}, "No such file"),
    ],
    ids=["not measured", "no such evaluation", "no such spec"],
)
def test_what_is_not_there_was_not_run(given: dict[str, Any], why: str, ran: Project):
    """A control that cannot be asked says what is missing."""
    settings = {"name": "a", "text": "A.", "metric": "fid", "scale": "tiny", **given}
    control = Control(**settings, relation="below", value=1.0)
    named = {name: Subject(path=f"../../specs/toy/{name}.toml") for name in ("a", "b")}
    study = read_specs(named, ran.reports / "toy")

    shown = controls.check(control, study, Archive(ran.root))

    assert (shown.result, shown.samples) == ("not run", ())
    assert why in shown.why


def test_a_rehearsal_shows_nothing(project: Project):
    """Its numbers are of something else."""
    project.run(noise_spec("one"), attempt=Attempt(purpose="rehearsal"))

    assert check(project, side="a:one", relation="below", value=1.0).result == "not run"


def test_a_sweep_gives_the_mean_over_its_runs(project: Project):
    """With the error over the runs."""
    project.write(trained_spec(("trained", 2, 0)) + "\n[sweep]\ntrain.seed = [1, 2, 3]\n")
    project.run_all(trained=Made(shift=1.0))

    shown = check(
        project,
        side="a:train",
        metric="energy/pixels/0.02",
        relation="near",
        value=0.25,
        tolerance=0,
    )

    assert shown.result == "shows"
    assert shown.samples[0].text.endswith("mean of 3 runs")


def test_two_settings_of_one_probe_are_compared(project: Project):
    """Its settings are in its protocol, and are what the control is about."""
    probe = """
[[probe]]
name = "grid-{columns}"
kind = "fixed-seed-grid"
columns = {columns}
checkpoints = {{ last = 1 }}
sample = {{ kind = "checkpoint", num_samples = 60, sampler.kind = "one-step" }}
"""
    spec = trained_spec(("trained", 2, 0)) + probe.format(columns=5) + probe.format(columns=6)
    made = {"grid-5": Made(shift=0.0), "grid-6": Made(shift=0.5)}
    project.run(spec, attempt=None, **made)

    shown = check(project, side="a:grid-5", metric="mean_cosine", relation="less", than="a:grid-6")

    assert shown.result == "shows"
