"""Pixels as features: for digits and other small images."""

import numpy as np

from repro.engine.evaluation.evaluate import evaluate
from repro.engine.evaluation.extractor import extract, open_extractor
from repro.engine.evaluation.references import make_reference
from repro.metrics import frechet
from repro.metrics.standard import POOL3_DIGEST
from repro.spec.evaluate import Fid, Kid, Pixels
from tests.engine.evaluation.fakes import some_images

GREY = some_images(40, seed=1, size=3, channels=1)
FID = (Fid(),)
OTHERS = some_images(40, seed=2, size=3, channels=1)


def measured(images=OTHERS, metrics=FID):
    reference = make_reference(
        GREY,
        extractor=open_extractor(Pixels(), weights_path=None),
        dataset="fake",
        split="all",
        num_features=40,
        batch_size=8,
    )
    return evaluate(
        images,
        extractor=Pixels(),
        reference=reference,
        metrics=metrics,
        weights_path=None,
        batch_size=8,
    )


def test_a_feature_is_a_byte_between_minus_one_and_one():
    """No resize, no network: the bytes, scaled."""
    found = extract(open_extractor(Pixels(), weights_path=None), GREY, batch_size=7)

    assert found.logits is None
    assert np.array_equal(found.pool3, GREY.reshape(40, 9).astype(np.float32) / 127.5 - 1)


def test_the_distance_is_that_of_the_pixels():
    """The Frechet distance between two clouds of pixels, computed the textbook way."""
    first, second = (each.reshape(40, 9) / 127.5 - 1 for each in (OTHERS, GREY))
    expected = frechet.distance(frechet.moments(first), frechet.factor(frechet.moments(second)))

    (found,) = measured().measured

    assert np.isclose(found.value, expected, rtol=1e-5)
    assert found.se is not None


def test_a_set_is_at_no_distance_from_itself():
    """A law of every distance."""
    fid, kid = measured(GREY, (Fid(), Kid())).measured

    assert abs(fid.value) < 1e-6
    assert kid.value < 1e-6


def test_its_protocol_is_no_standard_one():
    """Nothing of what is recorded could be taken for the Inception's."""
    (found,) = measured().measured

    assert found.protocol["extractor"]["name"] == "pixels"
    assert found.protocol["resize"] == "none"
    assert found.facts["extractor"]["weights_digest"] != POOL3_DIGEST
    assert found.facts["probe"]["before"] is None
    assert not found.protocol["probe_passed"]
