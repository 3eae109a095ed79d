"""What was measured is what the stored features give again."""

import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pytest
from attrs import evolve

from repro.errors import IntegrityError
from repro.metrics import frechet, measure
from repro.metrics.features import Features
from tests.metrics.fakes import small_features, small_reference


def every_value() -> dict[str, measure.Value]:
    features, reference = small_features(), small_reference()
    values = [
        *measure.fid(features, reference),
        *measure.kernel_distance(features, reference),
        *measure.precision_recall(features, reference, neighbour=2),
        *measure.inception_score(features, splits=4, seed=7),
    ]
    return {value.metric: value for value in values}


def recompute(metric: str, formula) -> measure.Value:
    return measure.recompute(metric, small_features(), small_reference(), formula=formula)


@pytest.mark.parametrize("metric", ["fid", "kid", "precision", "recall", "isc"])
def test_a_value_is_recomputed_from_features_and_settings(metric):
    """The gate needs the features, the reference and the recorded formula, nothing else."""
    value = every_value()[metric]

    again = recompute(metric, value.settings)

    assert measure.agrees(value.value, again.value)
    assert measure.agrees(value.se, again.se)
    assert measure.influence_agrees(value.influence, again.influence)
    assert (value.settings, value.outcome) == (again.settings, again.outcome)


@pytest.mark.parametrize("metric", ["precision", "isc", "unheard-of"])
def test_what_cannot_be_recomputed_is_refused(metric):
    """A formula without its settings, or a metric that nobody knows, is no crash of the gate."""
    with pytest.raises(IntegrityError, match=f"{metric} cannot be computed"):
        recompute(metric, {})


def test_every_metric_can_be_recomputed():
    """No value is taken on trust."""
    assert every_value().keys() == measure.RECOMPUTE.keys()


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_influence_values_are_centred_and_give_the_error(metric):
    """One value an image, whose spread is the recorded error."""
    value = every_value()[metric]

    assert value.influence is not None
    assert value.influence.shape == (40,)
    assert value.influence.mean() == pytest.approx(0.0, abs=1e-9)
    assert value.se == pytest.approx(value.influence.std(ddof=1) / np.sqrt(40))


@pytest.mark.parametrize("successes", [0, 2049])
def test_a_share_of_none_or_all_has_an_error(successes):
    """None of 2,049 may well be one of 1,000: its error is no zero."""
    assert measure.share_error(successes, 2049) == pytest.approx(1.386 / 2049, rel=1e-2)


def test_a_share_of_a_quarter_has_the_binomial_error():
    """Far from both ends, nothing but sqrt(p (1 - p) / n)."""
    assert measure.share_error(2500, 10_000) == pytest.approx((0.1875 / 10_000) ** 0.5, rel=1e-3)


def test_recall_has_no_error():
    """The one that is easily computed leaves out the generated set, so none is given."""
    recall = every_value()["recall"]

    assert (recall.se, recall.se_kind, recall.influence) == (None, "unknown", None)


def test_a_reference_is_factored_once(monkeypatch):
    """Statistics of equal digest share the work; few are kept."""
    factor = Mock(wraps=frechet.factor)
    monkeypatch.setattr(frechet, "factor", factor)
    monkeypatch.setattr(measure, "_FACTORED", {})
    several = [
        evolve(small_reference(), facts={"count": 60, "split": split}) for split in ("a", "b", "c")
    ]

    for reference in (several[0], small_reference(), several[0], *several, several[2]):
        measure.fid(small_features(), reference)

    assert factor.call_count == 4
    assert len(measure._FACTORED) == measure.NUM_FACTORED


def test_a_score_without_logits_is_refused():
    """It is never a silent NaN."""
    with pytest.raises(ValueError, match="needs the 1008-way layer"):
        measure.inception_score(Features(pool3=small_features().pool3))


@pytest.mark.parametrize(
    ("recorded", "recomputed", "agree"),
    [(10.0, 10.0 * (1 + 5e-7), True), (10.0, 10.00002, False), (0.0, 5e-10, True)],
)
def test_agreement_is_relative_to_the_value(recorded, recomputed, agree):
    """A part in a million; near zero, 1e-9."""
    assert measure.agrees(recorded, recomputed) is agree


def test_agreement_may_have_the_scale_of_its_source():
    """An intercept near zero is as exact as the values that the line went through."""
    assert not measure.agrees(1e-5, 2e-5)
    assert measure.agrees(1e-5, 2e-5, scale=300.0)


def test_no_number_agrees_with_none():
    """An error that is recorded where there is none, or missing where there is one."""
    assert [measure.agrees(*each) for each in ((None, 0.0), (0.0, None), (None, None))] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("recorded", "agree"),
    [([1.0, -1.0], True), ([1.0, -1.00001], False), ([1.0], False), (None, False)],
)
def test_influence_values_agree_one_by_one(recorded, agree):
    """Equal errors are not enough: pairing needs each image's own."""
    found = None if recorded is None else np.array(recorded)

    assert measure.influence_agrees(found, np.array([1.0, -1.0])) is agree


def test_the_formulas_need_no_torch():
    """The gate recomputes values in a process that never loads torch."""
    code = "import sys, repro.metrics.measure; print('torch' in sys.modules)"

    output = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert output.strip() == "False"
