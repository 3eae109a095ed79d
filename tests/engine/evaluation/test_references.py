"""Reference statistics carry how they were made; those that ship are the real ones."""

import numpy as np
import pytest

from repro.engine.evaluation import references
from repro.engine.evaluation.extractor import extract
from repro.engine.evaluation.references import shipped_reference
from repro.engine.references import shipped_path
from repro.errors import IntegrityError
from repro.metrics import frechet
from repro.metrics.reference import ReferenceStatistics
from repro.metrics.standard import MIN_SAMPLES, POOL3_DIGEST, PROBE_TOLERANCE, RESIZE
from tests.engine.evaluation.fakes import cheap_extractor, some_images

SHIPPED = "sha256:5577780141a89ebb4f61a5fc05dcf70ef56d7fe0607b9b03cfdef19b29f07999"
CIFAR10_TEST_SET = "sha256:57ca4e2f3f2a347e447e854b056af826e5348c3265d54c00f69d49fb3e8c64ff"


@pytest.fixture
def reference(monkeypatch) -> ReferenceStatistics:
    monkeypatch.setattr(references, "probe_deviation", lambda _: 0.5)
    return references.make_reference(
        some_images(8, seed=1),
        extractor=cheap_extractor(),
        dataset="fake",
        split="all",
        num_features=6,
        batch_size=3,
    )


def test_statistics_are_of_every_image_and_features_of_some(reference):
    """Moments over all eight; points of the first six of the fixed permutation."""
    pool3 = extract(cheap_extractor(), some_images(8, seed=1), batch_size=8).pool3

    assert np.allclose(reference.moments.mean, frechet.moments(pool3).mean, atol=1e-5)
    assert reference.moments.count == 8
    assert np.allclose(reference.features, pool3[[6, 2, 1, 7, 3, 0]], atol=1e-4)


def test_images_are_drawn_across_a_sorted_set():
    """Of ten classes that lie one after the other, a tenth of the images shows all."""
    classes = np.repeat(np.arange(10), 100)

    assert set(classes[references.drawn(1000, 100)]) == set(range(10))


def test_images_are_drawn_as_ever():
    """The choice is part of what a reference is, so it is a frozen stream's."""
    assert references.drawn(10, 4).tolist() == [2, 8, 4, 9]
    assert references.drawn(3, None).tolist() == np.random.RandomState(0).permutation(3).tolist()


def test_the_facts_say_how_they_were_made(reference):
    """The same facts as a measurement's: a mismatch shows."""
    assert reference.facts["extractor"] == cheap_extractor().facts
    assert reference.facts["resize"] == RESIZE
    assert reference.facts["order"] == "RandomState(0) permutation"
    assert reference.facts["probe"] == {"before": 0.5, "after": 0.5, "tolerance": 1e-4}
    assert reference.facts["images"]["unique"] == 8
    assert (reference.facts["dataset"], reference.facts["split"]) == ("fake", "all")


def test_shipped_statistics_are_of_the_cifar10_test_set():
    """Made from all 10,000 images by the standard network, in a file below 35 MB."""
    reference = shipped_reference("cifar10-test", digest=SHIPPED)

    assert reference.facts["set_digest"] == CIFAR10_TEST_SET
    assert reference.facts["extractor"]["weights_digest"] == POOL3_DIGEST
    assert reference.facts["resize"] == RESIZE
    assert max(reference.facts["probe"][at] for at in ("before", "after")) < PROBE_TOLERANCE
    assert reference.moments.count == 10_000
    assert reference.features.shape == (2100, 2048)
    assert shipped_path("cifar10-test").stat().st_size < 35_000_000


def test_shipped_statistics_have_full_rank():
    """Evidence needs a covariance that more images than dimensions made."""
    reference = shipped_reference("cifar10-test")

    assert reference.moments.count >= MIN_SAMPLES
    assert frechet.factor(reference.moments).route == "cholesky"


def test_another_digest_is_refused():
    """A spec pins the statistics that it was written for."""
    with pytest.raises(IntegrityError, match="expected sha256:0"):
        shipped_reference("cifar10-test", digest="sha256:" + "0" * 64)
