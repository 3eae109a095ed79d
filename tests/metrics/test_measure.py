"""What was measured is what the stored features give again."""

import subprocess
import sys

import numpy as np
import pytest

from repro.metrics import measure
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


@pytest.mark.parametrize("metric", ["fid", "kid", "precision", "recall", "isc"])
def test_a_value_is_recomputed_from_features_and_settings(metric):
    """The gate needs the features, the reference and the recorded formula, nothing else."""
    value = every_value()[metric]

    again = measure.RECOMPUTE[metric](small_features(), small_reference(), value.settings)

    assert measure.agrees(value.value, again)


def test_every_metric_can_be_recomputed():
    """No value is taken on trust."""
    assert every_value().keys() == measure.RECOMPUTE.keys()


@pytest.mark.parametrize("metric", ["fid", "kid", "precision"])
def test_influence_values_are_centred_and_give_the_error(metric):
    """One value an image, whose spread is the recorded error."""
    value = every_value()[metric]

    assert value.influence is not None
    assert value.influence.shape == (40,)
    assert value.influence.mean() == pytest.approx(0.0, abs=1e-9)
    assert value.se == pytest.approx(value.influence.std(ddof=1) / np.sqrt(40))


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


def test_the_formulas_need_no_torch():
    """The gate recomputes values in a process that never loads torch."""
    code = "import sys, repro.metrics.measure; print('torch' in sys.modules)"

    output = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert output.strip() == "False"
