"""Networks of torchvision, timm and transformers as feature encoders.

Weights lie in a file of the user's that the spec pins; nothing is fetched here. To make one:

    torchvision   save_file(get_model("resnet50", weights="DEFAULT").state_dict(), PATH)
    timm          save_file(create_model(NAME, pretrained=True).state_dict(), PATH)
    transformers  AutoModel.from_pretrained(NAME).save_pretrained(FOLDER)

with `save_file` of `safetensors.torch`.
"""

import importlib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn
from torch.nn.functional import interpolate

from repro import digest
from repro.engine.features.encoder import MapFeatures
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import ResourceError, RunError
from repro.spec.encoder import LibraryEncoder
from repro.spec.problems import choice

LEAST_DEVIATION = 1e-3
"""Added to the deviation by which a vector is divided, as in the drifting paper's code."""
FOLDER = ("config.json", "model.safetensors")


def library_encoder(spec: LibraryEncoder) -> MapFeatures:
    """The encoder of *spec* with its weights.

    Raises:
        ResourceError: when the weights are missing or not those that the spec pins.
        RunError: when the library is not installed, does not know the model, or when weights or
            taps do not fit it.
    """
    path = Path(spec.path)
    _require_pinned(path, spec)
    model = BUILDERS[spec.library](spec, path)
    return MapFeatures(LibraryNetwork(spec, model), spec.features, norm_x=False)


def weights_digest(path: Path) -> str:
    """The SHA-256 of a file of weights; of a folder, that of the digests of its two files by name.

    Raises:
        ResourceError: when a file is not there.
    """
    try:
        if path.is_dir():
            files = {name: digest.sha256_file(path / name) for name in FOLDER}
            return digest.sha256(digest.canonical(files))
        return digest.sha256_file(path)
    except FileNotFoundError as error:
        raise ResourceError(f"{error.filename}: no such file (weights of an encoder)") from error


class LibraryNetwork(nn.Module):
    """A foreign network; its maps are what its named modules put out."""

    def __init__(self, spec: LibraryEncoder, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.side = spec.side
        self.standardize = spec.standardize
        self.unstandardized = frozenset(spec.unstandardized)
        self.channels_last = spec.channels_last
        self.taps = [name for name, _ in model.named_modules() if name]
        self.register_buffer("mean", torch.tensor(spec.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(spec.std)[:, None, None], persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def prepared(self, images: Tensor) -> Tensor:
        """RGB images [B, 3, H, W] in [-1, 1], at the network's size and as it was trained on."""
        return (resized((images + 1) / 2, self.side) - self.mean) / self.std

    def maps(self, prepared: Tensor, wanted: Collection[str]) -> Mapping[str, Tensor]:
        """What the wanted modules put out, as maps [B, C, H, W]."""
        found: dict[str, Tensor] = {}
        hooks = [
            self.model.get_submodule(name).register_forward_hook(partial(_keep, found, name))
            for name in wanted
        ]
        try:
            self.model(prepared)
        finally:
            for hook in hooks:
                hook.remove()
        return {name: self._as_map(name, found) for name in wanted}

    def _as_map(self, name: str, found: Mapping[str, Tensor]) -> Tensor:
        """Tokens [B, L, C] are a map of one column, a vector [B, C] a map of one place.

        Raises:
            RunError: when the module put out no such thing.
        """
        x = found.get(name)
        if x is None or not 2 <= x.ndim <= 4:
            got = "nothing" if x is None else list(x.shape)
            raise RunError(
                f"encoder.features: {name!r} puts out {got}; expected a map [B, C, H, W], tokens "
                "[B, L, C] or a vector [B, C]"
            )
        if x.ndim == 2:
            x = x[:, :, None, None]
        elif x.ndim == 3:
            x = x.transpose(1, 2)[:, :, :, None]
        elif self.channels_last:
            x = x.permute(0, 3, 1, 2)
        return standardized(x) if self.standardize and name not in self.unstandardized else x


def resized(images: Tensor, side: int) -> Tensor:
    """Images [B, C, H, W] at side x side, bilinear and antialiased, as two matrix products.

    So their gradient, too, is the same on every run, which that of `interpolate` is not on a GPU.
    """
    rows, columns = (_resizing(length, side).to(images) for length in images.shape[2:])
    return rows @ images @ columns.T


def standardized(feature_map: Tensor) -> Tensor:
    """A map [B, C, H, W], every vector of it less its mean over channels, by its deviation."""
    deviation, mean = torch.std_mean(feature_map, dim=1, correction=0, keepdim=True)
    return (feature_map - mean) / (deviation + LEAST_DEVIATION)


def _resizing(length: int, side: int) -> Tensor:
    """The matrix [side, length] that resizes a line of pixels."""
    # An identity, resized one way: torch 2.13 resizes an image of a single column wrongly.
    units = torch.eye(length)[None, None]
    return interpolate(units, (side, length), mode="bilinear", antialias=True)[0, 0]


def _keep(found: dict[str, Tensor], name: str, module: nn.Module, given: Any, put_out: Any) -> None:
    """Remember the first tensor that a module puts out; of several calls, the last."""
    match put_out:
        case Tensor():
            found[name] = put_out
        case (first, *_):
            _keep(found, name, module, given, first)
        case Mapping() if put_out:
            _keep(found, name, module, given, next(iter(put_out.values())))
        case _:
            pass  # whoever wants the map says that there is none


def _require_pinned(path: Path, spec: LibraryEncoder) -> None:
    content = weights_digest(path)
    if content != spec.digest:
        msg = (
            f"{spec.path}: its content is {content}, the spec pins {spec.digest}; restore the "
            "weights, or write the new digest into the spec if the change is meant"
        )
        raise ResourceError(msg)


def _torchvision(spec: LibraryEncoder, path: Path) -> nn.Module:
    models = _library("torchvision").models
    return _named(spec, path, models.list_models(), partial(models.get_model, weights=None))


def _timm(spec: LibraryEncoder, path: Path) -> nn.Module:
    timm = _library("timm")
    return _named(spec, path, timm.list_models(), partial(timm.create_model, pretrained=False))


def _transformers(spec: LibraryEncoder, path: Path) -> nn.Module:
    transformers = _library("transformers")
    try:
        model: nn.Module = transformers.AutoModel.from_pretrained(
            str(path), local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise RunError(f"encoder: {spec.path}: transformers cannot open it: {error}") from error
    return model


BUILDERS: Mapping[str, Callable[[LibraryEncoder, Path], nn.Module]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
}


def _library(name: str) -> Any:
    ensure_torchvision_importable()  # which timm and transformers import, too
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"encoder.library: {name!r} is not installed; pip install {name}"
        raise RunError(msg) from error


def _named(
    spec: LibraryEncoder, path: Path, known: Collection[str], build: Callable[[str], nn.Module]
) -> nn.Module:
    """The model of this name with the weights of a file.

    Raises:
        RunError: when the library does not know it, or the weights are those of another.
    """
    if spec.model.partition(".")[0] not in known:  # timm's names may say the training after a dot
        raise RunError(f"encoder.model: unknown {spec.model!r}, {choice(spec.model, known)}")
    model = build(spec.model)
    try:
        model.load_state_dict(safetensors.load_file(path))
    except (RuntimeError, SafetensorError) as error:
        msg = f"encoder: {spec.path} does not fit {spec.model!r}: {error}"
        raise RunError(msg) from error
    return model
