"""Known answers: does this machine measure what every other honest evaluator measures?

Fast: the probe, identities that hold for any features, and torch-fidelity's own FID of the same
pixels. Full: the FID and KID of two CIFAR-10 subsets that torch-fidelity's test suite pins, which
prove weights, network, resize, data and formula with one number each (10,000 images).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from repro.engine import datasets, resources
from repro.engine.device import resolve
from repro.engine.evaluation.evaluate import evaluate
from repro.engine.evaluation.extractor import Extractor, extract, open_extractor
from repro.engine.evaluation.fidelity import peer_metrics
from repro.engine.evaluation.images import Images
from repro.engine.evaluation.probe import probe_images
from repro.engine.evaluation.references import make_reference, probe_deviation, shipped_reference
from repro.engine.evaluation.weights import load_weights
from repro.engine.progress import Progress
from repro.errors import IntegrityError
from repro.metrics import frechet, kid
from repro.metrics.standard import PROBE_TOLERANCE
from repro.spec.data import Cifar10
from repro.spec.evaluate import Fid, InceptionV3Compat

BATCH_SIZE: Final = 32
PEER_IMAGES: Final = 12
SUBSET: Final = 5000
SUBSET_SEED: Final = 2020

KNOWN_FID: Final = 10.3233274
KNOWN_KID: Final = -2.907863e-05
KNOWN_KID_SPREAD: Final = 1.023118e-4
"""Of RandomState(2020)'s 5,000 training and 5,000 test images; torch-fidelity's pinned values."""


Check = dict[str, Any]
"""One known answer: its name, what is expected, found and tolerated, and whether they agree."""


def selftest(*, full: bool, cache: Path, device: str, progress: Progress) -> list[Check]:
    """Run the known answers; *full* adds the slow ones.

    Raises:
        ResourceError: if the weights, or for *full* CIFAR-10, cannot be had.
    """
    weights = resources.fetch("inception", cache=cache, notify=progress.notify)
    device = resolve(device)
    extractor = open_extractor(InceptionV3Compat(), weights_path=weights, device=device)
    checks = [*_fast(extractor, weights, device), *_shipped()]
    if full:
        checks += _full(extractor, cache, progress)
    return checks


def _fast(extractor: Extractor, weights: Path, device: str) -> Iterator[Check]:
    yield _check(
        name="probe: largest feature deviation",
        expected=0.0,
        found=probe_deviation(extractor),
        tolerance=PROBE_TOLERANCE,
    )
    first, second = _pixels(seed=0), _pixels(seed=1)
    reference = make_reference(
        first,
        extractor=extractor,
        dataset="selftest",
        split="all",
        num_features=len(first),
        batch_size=BATCH_SIZE,
    )
    factored = frechet.factor(reference.moments)
    # Scaled: the covariance of 12 images is singular, so rounding enters by its square root.
    scale = float(np.trace(reference.moments.covariance))
    yield _check(
        name="FID of a set to itself, by its trace",
        expected=0.0,
        found=frechet.distance(reference.moments, factored) / scale,
        tolerance=1e-6,
    )
    ours = evaluate(
        second,
        extractor=InceptionV3Compat(),
        reference=reference,
        metrics=[Fid()],
        weights_path=weights,
        device=device,
    )
    peer = peer_metrics(
        second, first, tensors=load_weights(weights), batch_size=BATCH_SIZE, device=device
    )
    yield _check(
        name="FID, relative to torch-fidelity's of the same pixels",
        expected=1.0,
        found=ours.measured[0].value / peer["frechet_inception_distance"],
        tolerance=1e-5,
    )


def _shipped() -> Iterator[Check]:
    """The shipped statistics hold together: their moments are near those of their own features."""
    reference = shipped_reference("cifar10-test")
    count = len(reference.features)
    mean = reference.features.mean(axis=0, dtype=np.float64)
    error = np.sqrt(np.diag(reference.moments.covariance).clip(min=1e-12) / count)
    yield _check(
        name="shipped reference: mean of its features against its mean, in standard errors",
        expected=1.0,
        found=float(np.sqrt(np.mean(((mean - reference.moments.mean) / error) ** 2))),
        tolerance=0.5,
    )


def _full(extractor: Extractor, cache: Path, progress: Progress) -> Iterator[Check]:
    first, second = (
        extract(
            extractor, _subset(split, cache, progress), batch_size=BATCH_SIZE, progress=progress
        )
        for split in ("train", "test")
    )
    factored = frechet.factor(frechet.moments(second.pool3))
    mean, spread = kid.subset_kid(first.pool3, second.pool3)
    yield _check(
        name="FID of 5,000 CIFAR-10 training and test images",
        expected=KNOWN_FID,
        found=frechet.distance(frechet.moments(first.pool3), factored),
        tolerance=1e-4,
    )
    yield _check(
        name="KID of the same, mean of subsets", expected=KNOWN_KID, found=mean, tolerance=1e-7
    )
    yield _check(
        name="KID of the same, spread of subsets",
        expected=KNOWN_KID_SPREAD,
        found=spread,
        tolerance=1e-7,
    )


def _check(*, name: str, expected: float, found: float, tolerance: float) -> Check:
    passed = abs(found - expected) <= tolerance
    return {
        "name": name,
        "passed": passed,
        "expected": expected,
        "found": found,
        "tolerance": tolerance,
    }


def _subset(split: Any, cache: Path, progress: Progress) -> Images:
    resources.fetch("cifar10", cache=cache, notify=progress.notify)
    data = datasets.load(Cifar10(split=split), cache=cache)
    if not isinstance(data, datasets.Images):
        msg = f"CIFAR-10 {split}: expected images"
        raise IntegrityError(msg)
    chosen = np.random.RandomState(SUBSET_SEED).choice(len(data.images), SUBSET, replace=False)
    return data.images[np.sort(chosen)]  # in file order, on which the KID of subsets depends


def _pixels(*, seed: int) -> Images:
    """Small images that differ: the probe's noise, shifted."""
    noise = probe_images()[1].astype(np.int64)
    shifts = range(seed * PEER_IMAGES, (seed + 1) * PEER_IMAGES)
    return np.stack([np.roll(noise, shift, axis=0) // (1 + shift % 3) for shift in shifts]).astype(
        np.uint8
    )
