"""The inception score at its two ends, and its order of images."""

import numpy as np
import pytest

from repro.metrics import isc


def test_equal_predictions_score_one():
    """No image says anything that the others do not."""
    found = isc.measure(np.ones((40, 10)), splits=4)

    assert found.value == pytest.approx(1.0)
    assert found.split_sd == pytest.approx(0.0)


def test_certain_and_even_predictions_score_the_number_of_classes():
    """Ten classes, each certain, equally often."""
    logits = 100.0 * np.eye(10)[np.arange(1000) % 10]

    assert isc.measure(logits, splits=1).value == pytest.approx(10.0)


def test_sorted_classes_are_shuffled_first():
    """Split in file order, sorted classes would score one."""
    logits = 100.0 * np.eye(10)[np.arange(1000) // 100]

    assert isc.measure(logits, splits=10).value > 8.0


def test_fewer_images_than_splits_are_refused():
    """An empty split has no score."""
    with pytest.raises(ValueError, match="over 10 splits needs 10 images, got 9"):
        isc.measure(np.ones((9, 10)), splits=10)
