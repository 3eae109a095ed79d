"""The feature extractor of an evaluation: images in, features out, and the facts of what it is."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from repro.engine.determinism import deterministic
from repro.engine.evaluation import torchvision_inception
from repro.engine.evaluation.fidelity import EXTRACTOR, code_facts
from repro.engine.evaluation.images import Images
from repro.engine.evaluation.network import (
    accelerated,
    pool3_network,
    random_tensors,
    resize_and_normalise,
)
from repro.engine.evaluation.weights import (
    CLASSIFIER_WEIGHT,
    Tensors,
    check_layers,
    load_weights,
    pool3_digest,
)
from repro.engine.progress import Progress, Silent
from repro.errors import RunError
from repro.metrics.features import Features
from repro.metrics.standard import RESIZE
from repro.spec import evaluate as spec_evaluate
from repro.spec.evaluate import (
    CompatAsTorchvision,
    InceptionV3Compat,
    Pixels,
    TorchvisionInception,
)

Backend = Literal["torch", "onnxruntime"]
Pool3 = Callable[[Tensor], Tensor]

POOL3: Final = "2048"


@frozen(kw_only=True, eq=False)
class Extractor:
    """From images to features on one device; `classifier` [1008, 2048] if known.

    `prepare` takes bytes [B, H, W, C] to what `pool3` takes; `resize` names it. Only of the
    Inception there are `known_answers`, which its probe compares.
    """

    pool3: Pool3
    classifier: NDArray[np.float32] | None
    device: str
    facts: Mapping[str, Any]
    prepare: Callable[[Tensor], Tensor] = resize_and_normalise
    resize: str = RESIZE
    known_answers: bool = True


def open_extractor(
    spec: spec_evaluate.Extractor,
    *,
    weights_path: Path | None,
    device: str = "cpu",
    backend: Backend | None = None,
) -> Extractor:
    """Load the weights, check them, build the network, on the fastest backend if none is named.

    Raises:
        RunError: if weights are missing or not the standard ones, or the backend is not there.
    """
    match spec:
        case Pixels():
            return _pixels(device)
        case TorchvisionInception() | CompatAsTorchvision():
            return _classifier(spec, weights_path, device)
        case _:
            pass
    tensors = _tensors(spec, weights_path)
    backend = backend or fastest_backend(device)
    pool3, dtype = _BACKENDS[backend](tensors, device)
    with deterministic():
        facts = {
            "name": EXTRACTOR,
            "weights": spec.inception_weights,
            "weights_digest": pool3_digest(tensors),
            "code": code_facts(),
            "dtype": dtype,
            "device": device,
            "tf32": _tf32(device),
            "autocast": torch.is_autocast_enabled(torch.device(device).type),
            "backend": backend,
            "layer": POOL3,
        }
    return Extractor(
        pool3=pool3, classifier=tensors.get(CLASSIFIER_WEIGHT), device=device, facts=facts
    )


def fastest_backend(device: str) -> Backend:
    """The onnxruntime backend on a CPU where the extra `fast` is installed, else torch."""
    installed = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
    return "onnxruntime" if installed and device == "cpu" else "torch"


def extract(
    extractor: Extractor, images: Images, *, batch_size: int, progress: Progress | None = None
) -> Features:
    """Features of images [N, H, W, C]; no feature depends on the batch beyond rounding.

    Raises:
        RunError: if a feature is not finite.
    """
    batches = []
    shown = (progress or Silent()).track("features", len(images))
    with shown as advance, torch.inference_mode(), deterministic():
        for start in range(0, len(images), batch_size):
            chosen = torch.from_numpy(images[start : start + batch_size]).to(extractor.device)
            batches.append(extractor.pool3(extractor.prepare(chosen)).cpu().numpy())
            advance(len(chosen))
    pool3 = np.concatenate(batches)
    if not np.isfinite(pool3).all():
        msg = "features are not finite; the extractor's weights or its device are damaged"
        raise RunError(msg)
    logits = None if extractor.classifier is None else pool3 @ extractor.classifier.T
    return Features(pool3=pool3, logits=logits)


def _pixels(device: str) -> Extractor:
    """Bytes [B, H, W, C] as values in [-1, 1], one feature a pixel and channel."""
    return Extractor(
        pool3=lambda images: images.float().flatten(1) / 127.5 - 1,
        classifier=None,
        device=device,
        facts={
            "name": Pixels.kind,
            "weights": "none",
            "weights_digest": None,
            "code": {},
            "dtype": "float32",
            "device": device,
            "tf32": False,
            "autocast": False,
            "backend": "torch",
            "layer": Pixels.kind,
        },
        prepare=lambda images: images,
        resize="none",
        known_answers=False,
    )


def _classifier(
    spec: TorchvisionInception | CompatAsTorchvision, weights_path: Path | None, device: str
) -> Extractor:
    network, weights = torchvision_inception.classifier_network(spec, weights_path)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with deterministic():
        facts = {
            "name": spec.kind,
            "weights": "standard" if isinstance(spec, CompatAsTorchvision) else "file",
            "weights_digest": weights,
            "code": torchvision_inception.code_facts(),
            "dtype": "float32",
            "device": device,
            "tf32": _tf32(device),
            "autocast": torch.is_autocast_enabled(torch.device(device).type),
            "backend": "torch",
            "layer": "avgpool",
        }
    return Extractor(
        pool3=lambda images: network(images.contiguous(memory_format=torch.channels_last)),
        classifier=None,
        device=device,
        facts=facts,
        prepare=torchvision_inception.prepared,
        resize=torchvision_inception.RESIZE,
        known_answers=False,
    )


def _tensors(spec: InceptionV3Compat, weights_path: Path | None) -> Tensors:
    if spec.inception_weights == "none":
        return random_tensors()
    check_layers((), spec.inception_weights, weights_path)
    return load_weights(weights_path) if weights_path else {}


def _torch(tensors: Tensors, device: str) -> tuple[Pool3, str]:
    network = accelerated(pool3_network(tensors), device)
    dtype = str(next(network.parameters()).dtype).removeprefix("torch.")
    return lambda images: network(images.contiguous(memory_format=torch.channels_last)), dtype


def _onnxruntime(tensors: Tensors, device: str) -> tuple[Pool3, str]:
    from repro.engine.evaluation.onnx_backend import onnx_pool3

    if device != "cpu":
        msg = f"the onnxruntime backend runs on the CPU, not on {device!r}; use the torch backend"
        raise RunError(msg)
    return onnx_pool3(pool3_network(tensors)), "float32"


_BACKENDS: Mapping[str, Callable[[Tensors, str], tuple[Pool3, str]]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
}


def _tf32(device: str) -> bool:
    if torch.device(device).type != "cuda":
        return False
    return bool(torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)
