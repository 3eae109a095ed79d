"""Named arrays on disk (safetensors), and the digest that pins them in every container."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.errors import ResourceError

Tensors = Mapping[str, NDArray[Any]]
Arrays = dict[str, NDArray[Any]]

HEADER_LIMIT_BYTES = 100_000_000
"""What the safetensors format allows; a longer header is not one."""


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


def read_tensors(path: Path, *, wanted: Callable[[str], bool] = bool) -> Arrays:
    """The tensors of a safetensors file whose names are *wanted*.

    Raises:
        ResourceError: when the file is not a complete safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys() if wanted(name)}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        msg = f"{path}: not a complete safetensors file of arrays: {error}"
        raise ResourceError(msg) from error


def write_tensors(tensors: Tensors, path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file and wait until the disk has it."""
    import os

    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    save_file(whole, path, metadata=dict(metadata))
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_metadata(path: Path) -> dict[str, str] | None:
    """The free text of a safetensors header; None when the file is not there or not complete.

    Only the header is read, so this costs the same for every size of file.
    """
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            if header_bytes > min(size_bytes, HEADER_LIMIT_BYTES):
                return None
            header = json.loads(file.read(header_bytes))
        metadata = header.pop("__metadata__", {})
        body_bytes = max((each["data_offsets"][1] for each in header.values()), default=0)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return None
    return metadata if size_bytes == 8 + header_bytes + body_bytes else None
