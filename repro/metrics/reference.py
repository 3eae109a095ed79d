"""Reference statistics: what a set of real images is to a metric, in a file named by its content.

The file is safetensors: `mean` [D] and `covariance` (packed lower triangle) in float64, `features`
[k, D] of k of the images in float32 for the metrics that need points, and the facts of how they
were made as JSON. Its name is a digest of facts and tensors, so a reference made with another
network, resize or split can never stand in for this one.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from repro.digest import canonical
from repro.errors import IntegrityError
from repro.metrics.frechet import Moments

FACTS = "facts"
TENSORS = ("covariance", "features", "mean")


@frozen(kw_only=True, eq=False)
class ReferenceStatistics:
    """Moments over `moments.count` real images, features of some of them, and the facts."""

    moments: Moments
    features: NDArray[np.float32]
    facts: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """`sha256:` digest of facts and tensors."""
        return _digest(self.facts, _tensors(self))


def encode_reference(reference: ReferenceStatistics) -> bytes:
    """The bytes of the file; equal statistics give equal bytes."""
    return save(_tensors(reference), metadata={FACTS: canonical(dict(reference.facts)).decode()})


def write_reference(path: Path, reference: ReferenceStatistics) -> None:
    """Write the file aside, then rename it."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_bytes(encode_reference(reference))
    aside.replace(path)


def read_reference(path: Path, *, digest: str | None = None) -> ReferenceStatistics:
    """Read a file of reference statistics and, if *digest* is given, hold it to that.

    Raises:
        IntegrityError: if the file is not readable as statistics, or is not the one asked for.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            tensors = {name: file.get_tensor(name) for name in TENSORS}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        msg = f"{path}: not a file of reference statistics ({error}); make it again"
        raise IntegrityError(msg) from error
    found = _digest(facts, tensors)
    if digest not in (None, found):
        msg = f"{path}: reference statistics have digest {found}, expected {digest}"
        raise IntegrityError(msg)
    return ReferenceStatistics(
        moments=Moments(
            count=facts["count"],
            mean=tensors["mean"],
            covariance=_unpack(tensors["covariance"], len(tensors["mean"])),
        ),
        features=tensors["features"],
        facts=facts,
    )


def _tensors(reference: ReferenceStatistics) -> dict[str, NDArray[Any]]:
    rows, columns = np.tril_indices(len(reference.moments.mean))
    return {
        "covariance": reference.moments.covariance[rows, columns],
        "features": np.ascontiguousarray(reference.features),
        "mean": reference.moments.mean,
    }


def _unpack(packed: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    rows, columns = np.tril_indices(size)
    covariance = np.empty((size, size))
    covariance[rows, columns] = packed
    covariance[columns, rows] = packed
    return covariance


def _digest(facts: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
    proof = hashlib.sha256(canonical(dict(facts)))
    for name in TENSORS:
        array = tensors[name]
        proof.update(f"{name}{array.shape}{array.dtype}".encode())
        proof.update(array.tobytes())
    return f"sha256:{proof.hexdigest()}"
