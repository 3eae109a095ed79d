"""Facts of the images that are measured."""

import hashlib

import numpy as np
import pytest

from repro.engine.evaluation.images import check_images, image_facts, set_digest
from repro.errors import RunError
from tests.engine.evaluation.fakes import some_images


def test_facts_count_sizes_and_different_images():
    """A copy is counted once among the unique."""
    images = some_images(4, seed=0)
    images[3] = images[0]

    assert image_facts(images, quantisation="round-half-even", lossless=True) == {
        "count": 4,
        "unique": 3,
        "sizes": [[12, 12]],
        "channels": 3,
        "lossless": True,
        "quantisation": "round-half-even",
        "set_digest": set_digest(images),
    }


def test_the_digest_is_that_of_the_set():
    """Order does not matter; one byte does."""
    images = some_images(4, seed=0)
    changed = images.copy()
    changed[2, 1, 1, 1] ^= 1

    assert set_digest(images[::-1]) == set_digest(images)
    assert set_digest(changed) != set_digest(images)


def test_the_digest_is_sorted_digests_of_shape_and_bytes():
    """Anybody can compute it again."""
    images = some_images(2, seed=1)
    names = [hashlib.sha256(b"(12, 12, 3)" + each.tobytes()).hexdigest() for each in images]

    expected = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()

    assert set_digest(images) == f"sha256:{expected}"


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
