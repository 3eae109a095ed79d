"""An autoencoder of a few weights, in the layouts in which people have them."""

from pathlib import Path
from typing import Any

import torch

from repro import digest
from repro.engine.latents.autoencoder import settings
from repro.engine.latents.files import WEIGHTS
from repro.engine.seeds import global_stream
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.spec.autoencoder import AutoencoderKl, KlArchitecture

ARCHITECTURE = KlArchitecture(channels=(4, 8), layers_per_block=1, latent_channels=4, norm_groups=2)
REVISION = "31f26fdeee1355a5c34592e401dd41e45d25a493"


def network() -> Any:
    """It halves the sides. The spread of its posterior is about 1."""
    ensure_torchvision_importable()
    from diffusers import AutoencoderKL

    with global_stream("small", 0), torch.no_grad():
        made: Any = AutoencoderKL(**settings(ARCHITECTURE))
        for parameter in made.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    # Frozen, as those are that are loaded: a linear layer whose weights train rounds otherwise.
    return made.eval().requires_grad_(requires_grad=False)


def saved(folder: Path) -> AutoencoderKl:
    """The autoencoder in a folder of its own, and the spec that names it."""
    network().save_pretrained(folder)
    return AutoencoderKl(
        repository=str(folder),
        revision=REVISION,
        weights=digest.sha256_file(folder / WEIGHTS),
        architecture=ARCHITECTURE,
    )


def in_hub_cache(cache: Path, repository: str = "stabilityai/sd-vae-ft-mse") -> AutoencoderKl:
    """The autoencoder as the hub's client leaves it in its cache."""
    snapshot = cache / f"models--{repository.replace('/', '--')}" / "snapshots" / REVISION
    spec = saved(snapshot)
    return AutoencoderKl(
        repository=repository,
        revision=REVISION,
        weights=spec.weights,
        architecture=ARCHITECTURE,
    )
