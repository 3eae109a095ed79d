"""Make reference statistics from real images, and find those that come with the package."""

from typing import Final

from repro.engine.evaluation import probe
from repro.engine.evaluation.extractor import Extractor, extract
from repro.engine.evaluation.images import Images, check_images, image_facts
from repro.engine.progress import Progress
from repro.engine.references import shipped_path
from repro.metrics import frechet
from repro.metrics.reference import ReferenceStatistics, read_reference
from repro.metrics.standard import PROBE_TOLERANCE, RESIZE

SCHEMA: Final = 1


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

    Raises:
        RunError: if these are not images to measure, or a feature is not finite.
    """
    check_images(images)
    before = probe_deviation(extractor)
    features = extract(extractor, images, batch_size=batch_size, progress=progress)
    after = probe_deviation(extractor)
    measured = image_facts(images, quantisation="stored", lossless=True)
    return ReferenceStatistics(
        moments=frechet.moments(features.pool3),
        features=features.pool3[:num_features],
        facts={
            "schema": SCHEMA,
            "dataset": dataset,
            "split": split,
            "count": len(images),
            "num_features": min(num_features, len(images)),
            "set_digest": measured["set_digest"],
            "images": measured,
            "extractor": dict(extractor.facts),
            "resize": RESIZE,
            "probe": {"before": before, "after": after, "tolerance": PROBE_TOLERANCE},
        },
    )


def shipped_reference(name: str, *, digest: str | None = None) -> ReferenceStatistics:
    """Read the statistics that come with the package, held to *digest* if one is given."""
    return read_reference(shipped_path(name), digest=digest)


def probe_deviation(extractor: Extractor) -> float:
    """The known-answer probe through this very extractor, in this process, on its device."""
    return probe.deviation(lambda image: extract(extractor, image, batch_size=1).pool3)
