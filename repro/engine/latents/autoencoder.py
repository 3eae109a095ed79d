"""diffusers' `AutoencoderKL` (Rombach et al. 2022): from images to latents and back."""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from repro.engine.latents import files
from repro.engine.seeds import global_stream, normal
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import ResourceError
from repro.spec.autoencoder import AutoencoderKl, KlArchitecture, UntrainedAutoencoderKl

DECODED_AT_ONCE = 8
"""Images; at 256 pixels a side the widest map of each takes 32 MiB."""

SETTINGS_WITHOUT_EFFECT = ("sample_size", "scaling_factor", "force_upcast")
"""What `config.json` may say as it likes: it moves nothing here, the spec has its own scale."""


def trained_autoencoder(spec: AutoencoderKl) -> nn.Module:
    """The autoencoder with the pinned weights, on the CPU.

    Raises:
        ResourceError: its files are missing or damaged, hold other weights, or are of another
            architecture than the spec says.
    """
    folder = files.verified(spec)
    _refuse_other_layers(folder / files.CONFIG, spec.architecture)
    try:
        network: nn.Module = _diffusers_class().from_pretrained(
            folder, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        msg = f"{folder}: cannot be loaded: {str(error).strip().partition(chr(10))[0]}"
        raise ResourceError(msg) from error
    return _frozen(network)


def untrained_autoencoder(spec: UntrainedAutoencoderKl) -> nn.Module:
    """The autoencoder with the weights that the seed gives, on the CPU."""
    with global_stream("autoencoder", spec.seed):
        return _frozen(_diffusers_class()(**settings(spec.architecture)))


def settings(architecture: KlArchitecture) -> dict[str, Any]:
    """The arguments of `AutoencoderKL`."""
    num = len(architecture.channels)
    return {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("DownEncoderBlock2D",) * num,
        "up_block_types": ("UpDecoderBlock2D",) * num,
        "block_out_channels": architecture.channels,
        "layers_per_block": architecture.layers_per_block,
        "latent_channels": architecture.latent_channels,
        "norm_num_groups": architecture.norm_groups,
    }


def encode(
    autoencoder: Any,
    images: Tensor,
    *,
    generators: Sequence[Generator],
    posterior: Literal["sample", "mean"],
    scaling_factor: float,
) -> Tensor:
    """Latents [B, c, h, w] of images [B, 3, H, W] in [-1, 1], image i's noise from generator i.

    A latent is scaling_factor (mean + std noise), or scaling_factor mean.
    """
    law = autoencoder.encode(images).latent_dist
    latents: Tensor = law.mean
    if posterior == "sample":
        latents = latents + law.std * normal(generators, latents.shape[1:]).to(latents.device)
    return scaling_factor * latents


def decode(autoencoder: Any, latents: Tensor, *, scaling_factor: float) -> Tensor:
    """Images [B, 3, H, W] of latents [B, c, h, w]; about [-1, 1], not clamped.

    A few are decoded at once. As kernels round by the size of a batch, an image is the same in all
    batches whose size `DECODED_AT_ONCE` divides.
    """
    parts = torch.split(latents / scaling_factor, DECODED_AT_ONCE)
    return torch.cat([autoencoder.decode(part).sample for part in parts])


def _diffusers_class() -> Any:
    ensure_torchvision_importable()
    from diffusers import AutoencoderKL

    return AutoencoderKL


def _frozen(network: nn.Module) -> nn.Module:
    return network.float().eval().requires_grad_(requires_grad=False)


def _refuse_other_layers(path: Path, architecture: KlArchitecture) -> None:
    """Hold `config.json` to the spec: what it does not say is the default of diffusers."""
    try:
        said = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ResourceError(f"{path}: cannot be read: {error}") from error
    if not isinstance(said, Mapping):
        raise ResourceError(f"{path}: expected a JSON object")
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(_diffusers_class().__init__).parameters.items()
        if name != "self" and name not in SETTINGS_WITHOUT_EFFECT
    }
    expected = defaults | settings(architecture)
    problems = [
        f"{path}: {name}: expected {_plain(value)!r} by the spec's architecture, got {said[name]!r}"
        for name, value in expected.items()
        if name in said and said[name] != _plain(value)
    ]
    problems += [
        f"{path}: {name}: missing, the spec's architecture is not the default {defaults[name]!r}"
        for name, value in expected.items()
        if name not in said and value != defaults[name]
    ]
    if problems:
        raise ResourceError(*problems)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
