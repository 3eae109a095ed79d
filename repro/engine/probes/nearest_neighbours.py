"""Whether samples repeat the data: the real image most like each of them, in a space of features.

Copies have a cosine near 1. What counts as near depends on the features, so the number says
something only beside that of held-out real images under the same protocol.
"""

import math

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from repro.engine.evaluation.references import drawn
from repro.engine.probes.probe import Findings, Left, Subject, Value
from repro.engine.sheet import sheet
from repro.spec.probes.nearest_neighbours import NearestNeighbours

BLOCK = 1024
"""Samples that are compared with all reals at once."""
PAIRS = 32
"""How many of the most similar pairs are drawn."""


def nearest_neighbours(spec: NearestNeighbours, subject: Subject) -> Findings:
    """Mean, median and 95th percentile of the nearest cosine; how often the labels agree."""
    made, reals = subject.samples(), subject.images()
    chosen = drawn(len(reals.labels), spec.num_reals)
    bank = reals.images[chosen]
    features, extractor = subject.features(spec.extractor, made.images)
    theirs, _ = subject.features(spec.extractor, bank)
    nearest, cosine = nearest_of(features.pool3, theirs.pool3)
    labels = reals.labels[chosen][nearest]
    return Findings(
        values=summary(cosine, labels == made.labels),
        files=(
            Left(
                role="neighbours",
                name="neighbours.safetensors",
                data=save(
                    {
                        "cosine": cosine,
                        "nearest": chosen[nearest],
                        "nearest_labels": labels,
                        "sources": made.sources,
                        "labels": made.labels,
                    }
                ),
            ),
            Left(
                role="pairs",
                name="pairs.png",
                data=_pairs(made.images, bank[nearest], cosine),
                media_type="image/png",
            ),
        ),
        protocol={
            "reals": {"digest": reals.digest, "num": len(chosen)},
            "extractor": {name: extractor[name] for name in ("name", "weights_digest", "layer")},
        },
        facts={"extractor": dict(extractor)},
    )


def nearest_of(
    features: NDArray[np.float32], theirs: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each row of *features* [N, D] the row of *theirs* [M, D] of largest cosine, and that."""
    ours, others = _unit(features), _unit(theirs)
    found = [ours[start : start + BLOCK] @ others.T for start in range(0, len(ours), BLOCK)]
    nearest = np.concatenate([each.argmax(axis=1) for each in found]).astype(np.int64)
    return nearest, np.concatenate([each.max(axis=1) for each in found])


def summary(cosine: NDArray[np.float64], agree: NDArray[np.bool_]) -> tuple[Value, ...]:
    """The audit's numbers; errors are those of a mean over samples."""
    num = len(cosine)
    error = float(cosine.std(ddof=1)) / math.sqrt(num) if num > 1 else None
    rate = float(agree.mean())
    return (
        Value(
            metric="nearest_cosine_mean",
            value=float(cosine.mean()),
            num=num,
            se=error,
            se_kind="over samples",
        ),
        Value(metric="nearest_cosine_median", value=float(np.median(cosine)), num=num),
        Value(metric="nearest_cosine_p95", value=float(np.quantile(cosine, 0.95)), num=num),
        Value(
            metric="label_match_rate",
            value=rate,
            num=num,
            unit="fraction",
            se=math.sqrt(rate * (1 - rate) / num),
            se_kind="binomial",
        ),
    )


def _unit(features: NDArray[np.float32]) -> NDArray[np.float64]:
    rows = features.reshape(len(features), -1).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.maximum(norms, np.finfo(np.float64).tiny)
    return unit


def _pairs(
    samples: NDArray[np.uint8], nearest: NDArray[np.uint8], cosine: NDArray[np.float64]
) -> bytes:
    """The most similar pairs, each sample left of its real image."""
    order = np.argsort(-cosine, kind="stable")[:PAIRS]
    both = np.stack([samples[order], nearest[order]], axis=1)
    return sheet(both.reshape(-1, *samples.shape[1:]), most=2 * PAIRS)
