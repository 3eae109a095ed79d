"""The only door to torch-fidelity: its Inception network, and its own FID to check ours against.

What the library does silently is stopped here: it loads weights by unrestricted pickle and without
a digest (it gets an in-memory copy of tensors that were checked), ignores arguments that it does
not know (ours are held to its table of defaults), and caches features under a name that knows
neither weights nor data (caching is off).
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from repro.digest import sha256_file
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import RunError

EXTRACTOR: Final = "inception-v3-compat"
SOURCES: Final = ("feature_extractor_inceptionv3.py", "interpolate_compat_tensorflow.py")

CLASSIFIER: Final = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}

Tensors = Mapping[str, NDArray[np.float32]]


def build_network(tensors: Tensors | None) -> nn.Module:
    """torch-fidelity's Inception with these tensors, or without memory (device "meta") for None.

    A missing classifier is zero, and not for use.

    Raises:
        RunError: if the tensors are not those of this network.
    """
    ensure_torchvision_importable()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            """Leave out the library's own loading, which cannot be without a file."""

    with torch.device("meta"):  # no memory, no random numbers drawn
        network: nn.Module = Unloaded(
            EXTRACTOR, ["2048"], feature_extractor_weights_path=_pickled({})
        )
    if tensors is not None:
        try:
            nn.Module.load_state_dict(network, _state(tensors), strict=True, assign=True)
        except RuntimeError as error:
            msg = f"{EXTRACTOR}: the weights do not fit the network: {error}"
            raise RunError(msg) from error
    return network.eval().requires_grad_(requires_grad=False)


def code_facts() -> dict[str, str]:
    """Version of torch-fidelity and digests of the files that define the standard features."""
    ensure_torchvision_importable()
    import torch_fidelity

    folder = Path(torch_fidelity.__file__).parent
    digests = {name: sha256_file(folder / name) for name in SOURCES}
    return {"torch-fidelity": torch_fidelity.__version__, **digests}


def peer_metrics(
    generated: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    *,
    tensors: Tensors,
    batch_size: int,
    device: str = "cpu",
) -> dict[str, float]:
    """What torch-fidelity itself measures (FID) on two sets of images [N, H, W, 3]."""
    ensure_torchvision_importable()
    from torch_fidelity import calculate_metrics

    arguments = {
        "input1": _Pixels(generated),
        "input2": _Pixels(reference),
        "cuda": device == "cuda",
        "batch_size": batch_size,
        "fid": True,
        "feature_extractor": EXTRACTOR,
        "feature_layer_fid": "2048",
        "feature_extractor_weights_path": _pickled(_state(tensors)),
        "cache": False,
        "save_cpu_ram": True,  # reads in this process: the images are in memory already
        "verbose": False,
    }
    check_arguments(arguments)
    values: dict[str, float] = calculate_metrics(**arguments)
    return values


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Hold the names of arguments to torch-fidelity's table; it would ignore a wrong one.

    Raises:
        RunError: naming each argument that the installed version does not know.
    """
    from torch_fidelity.defaults import DEFAULTS

    unknown = sorted(arguments.keys() - DEFAULTS.keys())
    if unknown:
        msg = f"torch-fidelity has no argument {', '.join(unknown)}; it would ignore it silently"
        raise RunError(msg)


def _state(tensors: Tensors) -> dict[str, torch.Tensor]:
    state = {name: torch.from_numpy(np.array(tensors[name])) for name in tensors}
    for name, shape in CLASSIFIER.items():
        state.setdefault(name, torch.zeros(shape))
    return state


def _pickled(state: dict[str, torch.Tensor]) -> io.BytesIO:
    """A state dict in memory, written a moment ago: what the library unpickles is ours."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


class _Pixels(torch.utils.data.Dataset[torch.Tensor]):
    """Images [N, H, W, 3] in the layout that torch-fidelity reads: uint8 [3, H, W]."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._images = torch.from_numpy(images).permute(0, 3, 1, 2)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._images[index]

    def __len__(self) -> int:
        return len(self._images)
