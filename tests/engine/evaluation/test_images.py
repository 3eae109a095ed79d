"""Facts of the images that are measured."""

import numpy as np
import pytest

from repro.engine.evaluation.images import check_images, image_facts
from repro.errors import RunError
from repro.metrics.image_set import image_names, set_digest
from tests.engine.evaluation.fakes import some_images


def test_facts_count_sizes_and_different_images():
    """A copy is counted once among the unique."""
    images = some_images(4, seed=0)
    images[3] = images[0]

    assert image_facts(images, quantisation="round-half-even") == {
        "count": 4,
        "unique": 3,
        "sizes": [[12, 12]],
        "channels": 3,
        "lossless": True,
        "quantisation": "round-half-even",
        "set_digest": set_digest(image_names(images)),
    }


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((4, 8, 8, 3), np.float32), r"float32 \[4, 8, 8, 3\]"),
        (np.zeros((4, 3, 8, 8), np.uint8), r"uint8 \[4, 3, 8, 8\]"),
        (np.zeros((8, 8, 3), np.uint8), r"uint8 \[8, 8, 3\]"),
        (np.zeros((1, 8, 8, 3), np.uint8), "two images or more, got 1"),
    ],
)
def test_what_is_no_set_of_images_is_refused(images, found):
    """The message says what came; no range or layout is guessed."""
    with pytest.raises(RunError, match=found):
        check_images(images)
