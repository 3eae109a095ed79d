"""Named arrays on disk (safetensors), and the digest that pins them in every container."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.errors import ResourceError

Tensors = Mapping[str, NDArray[Any]]
Arrays = dict[str, NDArray[Any]]


def tensors_digest(tensors: Tensors) -> str:
    """SHA-256 over the tensors in order of their names: name, shape, dtype, bytes.

    Shapes are written as Python tuples, dtypes as torch names them ("torch.float32"), bytes little
    endian in row-major order, with nothing in between. The digest is that of the content: a pickle,
    a TorchScript archive and a safetensors file of the same tensors have the same one.
    """
    proof = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        proof.update(f"{name}{value.shape}torch.{value.dtype.name}".encode())
        little = value.astype(value.dtype.newbyteorder("<"), copy=False)
        proof.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
    return f"sha256:{proof.hexdigest()}"


def read_tensors(path: Path, *, wanted: Callable[[str], bool] | None = None) -> Arrays:
    """The tensors of a safetensors file, all or those whose names are *wanted*.

    Raises:
        ResourceError: when the file is not a complete safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = [name for name in file.keys() if wanted is None or wanted(name)]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        msg = f"{path}: not a complete safetensors file: {error}"
        raise ResourceError(msg) from error


def write_tensors(tensors: Tensors, path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file that everyone may read, and wait until the disk has it.

    Raises:
        ResourceError: when the disk refuses.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    try:
        save_file(whole, path, metadata=dict(metadata))
        path.chmod(0o644)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        msg = f"{path}: cannot be written: {error}"
        raise ResourceError(msg) from error


def by_part(tensors: Tensors, part_of: Callable[[str], tuple[str, str]]) -> dict[str, Arrays]:
    """The tensors of each part under their names within it."""
    parts: dict[str, Arrays] = {}
    for name, value in tensors.items():
        part, short = part_of(name)
        parts.setdefault(part, {})[short] = value
    return parts


def part_digests(tensors: Tensors, part_of: Callable[[str], tuple[str, str]]) -> dict[str, str]:
    """The digest of each part."""
    return {part: tensors_digest(inner) for part, inner in by_part(tensors, part_of).items()}
