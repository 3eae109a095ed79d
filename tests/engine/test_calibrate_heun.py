"""Which paths and priors a calibration lets sample."""

import pytest

from repro.engine.calibrate_heun import calibrate_heun, refuse_biased_heun
from repro.errors import RunError
from repro.spec.edm import Churn, Heun
from repro.spec.path import CoarseToFine, Lead, MatchedLead, Ratio, Sync, Truncated


def of(spec: Heun):
    return calibrate_heun(spec, num_scales=3)


@pytest.mark.parametrize(
    "spec",
    [
        Heun(),
        Heun(steps=36),
        Heun(path=MatchedLead(ahead=5)),
        Heun(path=Lead(ahead=5)),
        Heun(prior="unit-circle", prior_scale=1.4),
        Heun(churn=Churn(amount=10.0)),
    ],
)
def test_what_samples_the_data_passes(spec: Heun):
    """Also a lead of five, which cuts 0.12 sigma off and is made up for by the steps' own error."""
    assert of(spec).passed


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (Heun(prior_scale=1.4), 0.4775),
        (Heun(prior="unit-circle"), -0.254),
        (Heun(path=Lead(ahead=8)), -0.206),
        (Heun(path=Truncated(ahead=10)), -0.417),
        (Heun(path=Ratio(ratio=2.0)), 0.252),
        (Heun(path=CoarseToFine()), 0.706),
    ],
)
def test_what_does_not_is_refused(spec: Heun, error: float):
    """A prior 1.4 times too wide: the study found that its FID went from 70 to 212."""
    result = of(spec)

    assert not result.passed
    assert result.std_error == pytest.approx(error, abs=2e-3)
    with pytest.raises(RunError, match="turns a perfect network of N"):
        refuse_biased_heun(result, spec)


def test_a_spec_may_allow_it():
    """Then it samples, and is marked."""
    spec = Heun(prior_scale=1.4, allow_biased=True)

    refuse_biased_heun(of(spec), spec)


def test_the_path_of_training_sets_the_measure():
    """Its own error is what as many steps explain; the calls are counted."""
    result = of(Heun(path=Sync()))

    assert result.nfe == 35
    assert result.std_error == pytest.approx(0.0553, abs=1e-4)
    assert result.std_tolerance == pytest.approx(1.1 * 0.0553 + 0.02, abs=1e-3)
