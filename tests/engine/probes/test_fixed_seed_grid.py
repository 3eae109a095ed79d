"""What a grid says in numbers."""

import numpy as np
import pytest

from repro.engine.probes.fixed_seed_grid import appearance


def values(images: np.ndarray) -> dict[str, float]:
    return {each.metric: each.value for each in appearance(images)}


def test_black_and_white():
    """Two constant images at the ends of the range: all saturated, as far apart as can be."""
    images = np.stack([np.zeros((2, 2, 1)), np.full((2, 2, 1), 255)]).astype(np.uint8)

    assert values(images) == {"pixel_mean": 0.5, "pixel_std": 0.5, "saturated": 1.0, "spread": 1.0}


def test_one_image_many_times_has_no_spread():
    """Mode collapse has a number."""
    image = np.random.RandomState(0).randint(1, 255, (1, 4, 4, 3), dtype=np.uint8)

    found = values(image.repeat(7, axis=0))

    assert found["spread"] == pytest.approx(0, abs=1e-12)
    assert found["saturated"] == 0
    assert found["pixel_std"] > 0


def test_spread_is_the_distance_of_two_different_images():
    """The mean over all pairs, counted one by one."""
    images = np.random.RandomState(1).randint(0, 256, (5, 3, 3, 1), dtype=np.uint8)
    rows = images.reshape(5, -1) / 255
    pairs = [np.square(a - b).mean() for i, a in enumerate(rows) for b in rows[i + 1 :]]

    assert values(images)["spread"] == pytest.approx(np.sqrt(np.mean(pairs)))
