"""The known-answer probe: its images, its expected features, its verdicts."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from repro.engine.evaluation import probe
from repro.engine.evaluation.images import Images
from repro.engine.evaluation.references import probe_deviation
from repro.metrics.standard import PROBE_TOLERANCE


def known(image: Images) -> NDArray[np.float32]:
    """The features that an honest evaluator gives."""
    for index, each in enumerate(probe.probe_images()):
        if np.array_equal(each, image[0]):
            return probe.expected_features()[index : index + 1]
    raise LookupError


def test_the_images_are_pinned():
    """Integer arithmetic gives the same bytes everywhere."""
    data = b"".join(image.tobytes() for image in probe.probe_images())

    assert [len(image) for image in probe.probe_images()] == [32, 32, 64, 299]
    assert hashlib.sha256(data).hexdigest().startswith("1a6534f9")


def test_the_expected_features_do_not_deviate():
    """The reading is the largest difference to them, so theirs is zero."""
    assert probe.deviation(known) == 0.0


def test_one_wrong_feature_shows():
    """The reading is a maximum, not a mean."""

    def off(image: Images) -> NDArray[np.float32]:
        features = known(image).copy()
        features[0, 7] += 0.01 * (len(image[0]) == 299)
        return np.asarray(features, np.float32)

    assert probe.deviation(off) == pytest.approx(0.01, rel=1e-3)


def test_a_feature_that_is_no_number_is_infinitely_wrong():
    """NaN compares false with every tolerance; infinity does not."""
    assert probe.deviation(lambda image: known(image) * np.float32(np.nan)) == float("inf")


def test_other_weights_fail(extractor):
    """A network that is not the standard one cannot pass, whatever it calls itself."""
    assert probe_deviation(extractor) > 1000 * PROBE_TOLERANCE
