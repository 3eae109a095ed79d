"""The digest of a set of images."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from repro.metrics.image_set import image_names, pairing, set_digest


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.RandomState(0).randint(0, 256, (4, 12, 12, 3)).astype(np.uint8)


def test_the_digest_is_that_of_the_set(images):
    """Order does not matter; one byte does."""
    changed = images.copy()
    changed[2, 1, 1, 1] ^= 1

    assert set_digest(image_names(images[::-1])) == set_digest(image_names(images))
    assert set_digest(image_names(changed)) != set_digest(image_names(images))


def test_the_digest_is_sorted_digests_of_shape_and_bytes(images):
    """Anybody can compute it again."""
    names = [hashlib.sha256(b"(12, 12, 3)" + each.tobytes()).hexdigest() for each in images]

    expected = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()

    assert set_digest(image_names(images)) == f"sha256:{expected}"


def test_sets_pair_by_sources_and_labels():
    """Image i of both comes from the same noise and has the same label."""
    sources, labels = np.arange(3), np.array([0, 1, 1])

    assert pairing(sources, labels) == pairing(sources.copy(), labels.copy())
    assert pairing(sources, labels) != pairing(sources + 1, labels)
    assert pairing(sources, labels) != pairing(sources, labels[::-1])
