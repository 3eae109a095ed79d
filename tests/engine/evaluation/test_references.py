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

SHIPPED = "sha256:b1df9198d82e4a39e10bf8fe47f5afb3048cd46835fd7b57d10cab2f9fcdcd07"
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


def test_statistics_are_of_every_image_and_features_of_the_first(reference):
    """Moments over all eight; points of the first six."""
    pool3 = extract(cheap_extractor(), some_images(8, seed=1), batch_size=8).pool3

    assert np.allclose(reference.moments.mean, frechet.moments(pool3).mean, atol=1e-5)
    assert reference.moments.count == 8
    assert np.allclose(reference.features, pool3[:6], atol=1e-4)


def test_the_facts_say_how_they_were_made(reference):
    """The same facts as a measurement's: a mismatch shows."""
    assert reference.facts["extractor"] == cheap_extractor().facts
    assert reference.facts["resize"] == RESIZE
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
    assert reference.features.shape == (2000, 2048)
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
