"""diffusers' `AutoencoderKL` as a network to train."""

from typing import Any

from torch import nn

from repro.engine.latents.autoencoder import settings
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import RunError
from repro.spec import kl as spec_kl

RGB = 3


def kl_autoencoder(spec: spec_kl.KlAutoencoder, shape: tuple[int, int, int]) -> nn.Module:
    """The untrained autoencoder of images of *shape* (channels, height, width).

    Raises:
        RunError: the images are not RGB, or their sides cannot be halved as often as it does.
    """
    channels, height, width = shape
    coarsest = 1 << (len(spec.architecture.channels) - 1)
    if channels != RGB or height % coarsest or width % coarsest:
        msg = f"network: takes RGB images whose sides {coarsest} divides, got {list(shape)}"
        raise RunError(msg)
    ensure_torchvision_importable()
    from diffusers import AutoencoderKL

    network: Any = AutoencoderKL(**settings(spec.architecture))  # type: ignore[no-untyped-call]
    made: nn.Module = network
    return made
