"""The tensors of the Inception network: the standard ones from a file, or a stable random set."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from repro.engine.resources.tensors import read_tensors, tensors_digest
from repro.errors import RunError
from repro.metrics.standard import POOL3_DIGEST

RANDOM_SEED: Final = 20151205
CLASSIFIER_WEIGHT: Final = "fc.weight"

Tensors = dict[str, NDArray[np.float32]]


def load_weights(path: Path) -> Tensors:
    """The standard tensors of a safetensors file; `fc.weight` only if the file has it.

    Raises:
        ResourceError: if the file cannot be read.
        RunError: if its pool3 tensors are not the standard ones.
    """
    tensors = read_tensors(path, wanted=lambda name: not name.endswith("num_batches_tracked"))
    found = pool3_digest(tensors)
    if found != POOL3_DIGEST:
        msg = f"{path}: Inception weights have digest {found}, expected {POOL3_DIGEST}"
        raise RunError(msg, "fetch them again: python -m repro fetch inception")
    return tensors


def random_weights(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> Tensors:
    """He-uniform kernels from a frozen integer generator: the same bits on every machine.

    Batch norm is the identity. The name order, not the module order, feeds the generator.
    """
    random = np.random.RandomState(RANDOM_SEED)
    return {name: _random(name, shape, random) for name, shape in sorted(shapes)}


def pool3_digest(tensors: Tensors) -> str:
    """The digest of what the pool3 features depend on: everything but the classifier."""
    return tensors_digest(
        {name: value for name, value in tensors.items() if not name.startswith("fc.")}
    )


def check_layers(
    metrics: Iterable[str], weights: Literal["standard", "none"], path: Path | None
) -> None:
    """Refuse, before any work, what these weights cannot measure. Loads no torch.

    Raises:
        RunError: for an inception score without the 1008-way layer, or a missing weights file.
    """
    if weights == "none":
        return
    if path is None:
        msg = (
            "the standard Inception weights are missing; get them: python -m repro fetch inception"
        )
        raise RunError(msg)
    if "isc" in metrics and CLASSIFIER_WEIGHT not in read_tensors(path, wanted=_is_classifier):
        msg = (
            f"{path}: metric 'isc' needs the 1008-way layer {CLASSIFIER_WEIGHT!r}, which this file "
            "does not have; remove the metric, or fetch the official weights file"
        )
        raise RunError(msg)


def _is_classifier(name: str) -> bool:
    return name == CLASSIFIER_WEIGHT


def _random(
    name: str, shape: tuple[int, ...], random: np.random.RandomState
) -> NDArray[np.float32]:
    if len(shape) > 1:
        bound = np.sqrt(6.0 / np.prod(shape[1:]))
        return np.asarray(random.uniform(-1.0, 1.0, shape) * bound, np.float32)
    fill = 1.0 if name.endswith(("bn.weight", "bn.running_var")) else 0.0
    return np.full(shape, fill, dtype=np.float32)
