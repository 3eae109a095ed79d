"""Read the tensors of a TorchScript archive without torch and without running anything of it.

The archive is a zip with a pickle of modules and the raw bytes of each storage. The pickle goes
through an unpickler that knows float tensors, integer lists and inert modules, and refuses all
else; the archive's code, which `torch.jit.load` would compile, is never opened.
"""

import collections
import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.errors import ResourceError

ITEM_BYTES = 4
DEEPEST = 32

LOAD_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What the unpickling of broken or hostile data ends in."""


def find_torchscript(data: bytes) -> str | None:
    """The folder in which a TorchScript archive keeps its pickle; None for every other file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    folders = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    with_code = [each for each in folders if any(name.startswith(f"{each}code/") for name in names)]
    return with_code[0] if with_code else None


def read_torchscript(data: bytes, *, folder: str, where: str) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of an archive under their dotted names.

    Raises:
        ResourceError: when the archive is damaged or holds anything but modules and float tensors.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            root = _Unpickler(archive, folder).load()
    except LOAD_ERRORS as error:
        msg = f"{where}: not a readable TorchScript archive: {error}"
        raise ResourceError(msg) from error
    if not isinstance(root, Module):
        msg = f"{where}: not a TorchScript archive of a module"
        raise ResourceError(msg)
    return dict(_named_tensors(root, prefix="", depth=0))


class Module:
    """What becomes of a module: its attributes and nothing else."""

    attributes: Mapping[str, Any] = {}

    def __setstate__(self, attributes: Any) -> None:
        if not isinstance(attributes, dict):
            msg = "a module whose state is no table of attributes"
            raise pickle.UnpicklingError(msg)
        self.attributes = attributes


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}data.pkl")))
        self.archive = archive
        self.folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return Module
        if (module, name) not in KNOWN:
            msg = f"refused to load {module}.{name}"
            raise pickle.UnpicklingError(msg)
        return KNOWN[module, name]

    def persistent_load(self, pid: Any) -> bytes:
        """The bytes of a storage, whose id is ("storage", type, key, device, length)."""
        _, _, key, _, _ = pid
        return self.archive.read(f"{self.folder}data/{key}")


def _float_tensor(
    storage: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> NDArray[np.float32]:
    """A view of a storage; numpy refuses one that would reach beyond it."""
    steps = tuple(ITEM_BYTES * step for step in strides)
    return np.ndarray(tuple(shape), "<f4", storage, ITEM_BYTES * offset, steps)


KNOWN: Mapping[tuple[str, str], Any] = {
    ("torch", "FloatStorage"): "float32",
    ("torch._utils", "_rebuild_tensor_v2"): _float_tensor,
    ("torch.jit._pickle", "build_intlist"): list,
    ("collections", "OrderedDict"): collections.OrderedDict,
}


def _named_tensors(
    module: Module, *, prefix: str, depth: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    if depth > DEEPEST:
        msg = f"modules nested more than {DEEPEST} deep, at {prefix}"
        raise ResourceError(msg)
    for name, value in module.attributes.items():
        if isinstance(value, np.ndarray):
            yield f"{prefix}{name}", value
        elif isinstance(value, Module):
            yield from _named_tensors(value, prefix=f"{prefix}{name}.", depth=depth + 1)
