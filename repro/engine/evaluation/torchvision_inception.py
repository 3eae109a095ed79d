"""torchvision's Inception as an extractor, with the preprocessing of an image classifier.

The first reproduction of drifting measured its "FID" by it (`scripts/eval_fid_is.py` of
kmccleary3301/drift_models, and many others do). What it does otherwise than the network of the FID:

- weights: those of the 2016 classifier that torchvision ported, not of the 2015 Inception;
- layers: average pooling counts its padding, and the last block pools by the mean;
- resize: pixel centres are aligned (bilinear, antialiased, rounded to bytes), not their corners;
- range: bytes go to b / 127.5 - 1, not (b - 128) / 128.

Its ImageNet normalization is undone by the network's first step (`transform_input`), so neither is
done here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn

from repro import digest
from repro.engine.evaluation.weights import load_weights, pool3_digest
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import ResourceError, RunError
from repro.spec.evaluate import CompatAsTorchvision, TorchvisionInception

SIDE: Final = 299
RESIZE: Final = "torchvision-bilinear-299"
UNUSED: Final = ("AuxLogits.", "fc.")
"""Parts that no feature passes through."""


def classifier_network(
    spec: TorchvisionInception | CompatAsTorchvision, weights_path: Path | None
) -> tuple[nn.Module, str]:
    """The network from prepared images to 2048 features, and the digest of its weights.

    Raises:
        ResourceError: the weights are not there, or not those that the spec pins.
        RunError: they do not fit the network.
    """
    if weights_path is None:
        msg = (
            "the standard Inception weights are missing; get them: python -m repro fetch inception"
        )
        raise RunError(msg)
    match spec:
        case TorchvisionInception(path=path, digest=pinned):
            found = _digest(weights_path)
            if found != pinned:
                msg = f"{path}: its content is {found}, the spec pins {pinned}; restore the file"
                raise ResourceError(msg)
            return _network(_state(weights_path), path), pinned
        case CompatAsTorchvision():
            tensors = load_weights(weights_path)
            state = {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
            return _network(state, str(weights_path)), pool3_digest(tensors)


def prepared(images: Tensor) -> Tensor:
    """Bytes [B, H, W, C] as float32 [B, 3, 299, 299] in [-1, 1]."""
    ensure_torchvision_importable()
    from torchvision.transforms.v2.functional import resize

    square = resize(images.permute(0, 3, 1, 2).contiguous(), [SIDE, SIDE], antialias=True)
    values: Tensor = square.float() / 127.5 - 1
    return values.expand(-1, 3, -1, -1)


def code_facts() -> dict[str, str]:
    """The version of torchvision, whose code defines these features."""
    ensure_torchvision_importable()
    import torchvision

    return {"torchvision": torchvision.__version__}


def _network(state: Mapping[str, Tensor], named: str) -> nn.Module:
    ensure_torchvision_importable()
    from torchvision.models import inception_v3

    network: Any = inception_v3(weights=None, aux_logits=False, init_weights=False)
    network.fc = nn.Identity()
    network.dropout = nn.Identity()
    used = {name: value for name, value in state.items() if not name.startswith(UNUSED)}
    counters = {
        name: value
        for name, value in network.state_dict().items()
        if name.endswith("num_batches_tracked")
    }
    try:
        network.load_state_dict({**counters, **used}, strict=True)
    except RuntimeError as error:
        raise RunError(
            f"{named}: the weights do not fit torchvision's Inception: {error}"
        ) from error
    frozen: nn.Module = network.eval().requires_grad_(requires_grad=False)
    return frozen


def _digest(path: Path) -> str:
    try:
        return digest.sha256_file(path)
    except OSError as error:
        raise ResourceError(f"{path}: {error.strerror}") from error


def _state(path: Path) -> Mapping[str, Tensor]:
    try:
        state: Mapping[str, Tensor] = safetensors.load_file(path)
    except SafetensorError as error:
        raise ResourceError(f"{path}: no safetensors file: {error}") from error
    return state
