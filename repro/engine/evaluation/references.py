"""Make reference statistics from real images, and find those that come with the package."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from repro.engine.evaluation import probe
from repro.engine.evaluation.extractor import Extractor, extract
from repro.engine.evaluation.images import Images, check_images, image_facts
from repro.engine.progress import Progress
from repro.engine.references import shipped_path
from repro.metrics import frechet
from repro.metrics.reference import ReferenceStatistics, read_reference
from repro.metrics.standard import PROBE_TOLERANCE

SCHEMA: Final = 1
ORDER: Final = "RandomState(0) permutation"


def make_reference(
    images: Images,
    *,
    extractor: Extractor,
    dataset: str,
    split: str,
    num_features: int,
    batch_size: int,
    progress: Progress | None = None,
) -> ReferenceStatistics:
    """Statistics of every image [N, H, W, C], with the facts of how they were made.

    The features kept are those of *num_features* images, or of all, as `drawn` chooses them.

    Raises:
        RunError: if these are not images to measure, or a feature is not finite.
    """
    check_images(images)
    before = known_deviation(extractor)
    features = extract(extractor, images, batch_size=batch_size, progress=progress)
    after = known_deviation(extractor)
    measured = image_facts(images, quantisation="stored")
    return ReferenceStatistics(
        moments=frechet.moments(features.pool3),
        features=features.pool3[drawn(len(images), num_features)],
        facts={
            "schema": SCHEMA,
            "dataset": dataset,
            "split": split,
            "count": len(images),
            "num_features": min(num_features, len(images)),
            "order": ORDER,
            "set_digest": measured["set_digest"],
            "images": measured,
            "extractor": dict(extractor.facts),
            "resize": extractor.resize,
            "probe": {"before": before, "after": after, "tolerance": PROBE_TOLERANCE},
        },
    )


def drawn(count: int, most: int | None) -> NDArray[np.int64]:
    """Indices of *most* images of *count*, or of all: the first of one fixed permutation.

    Data sets lie sorted by class, so their first images would stand for some classes only.
    """
    return np.random.RandomState(0).permutation(count)[:most]


def shipped_reference(name: str, *, digest: str | None = None) -> ReferenceStatistics:
    """Read the statistics that come with the package, held to *digest* if one is given."""
    return read_reference(shipped_path(name), digest=digest)


def known_deviation(extractor: Extractor) -> float | None:
    """As `probe_deviation`; None if no answers are known: the gate refuses what it measures."""
    return probe_deviation(extractor) if extractor.known_answers else None


def probe_deviation(extractor: Extractor) -> float:
    """The known-answer probe through this very extractor, in this process, on its device."""
    return probe.deviation(lambda image: extract(extractor, image, batch_size=1).pool3)
