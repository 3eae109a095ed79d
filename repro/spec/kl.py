"""Training an autoencoder whose latents are nearly normal: what Stable Diffusion calls its VAE."""

from typing import ClassVar, Literal

from attrs import frozen

from repro.spec.autoencoder import KlArchitecture
from repro.spec.fields import count, non_negative

SMALL = KlArchitecture(channels=(32, 64, 64), layers_per_block=1, norm_groups=8)


@frozen(kw_only=True)
class KlAutoencoder:
    """diffusers' `AutoencoderKL`, untrained: from RGB images to smaller latents and back."""

    kind: ClassVar = "kl-autoencoder"

    architecture: KlArchitecture = SMALL


@frozen(kw_only=True)
class KlAutoencoding:
    """Restore images from latents that are drawn from their posteriors (Kingma & Welling 2014).

    The `error` of a value, squared or absolute, plus `kl_weight` times the divergence of the
    posterior from a standard normal, a latent value. Images are mirrored with probability 1/2 if
    `flip`. A small weight leaves the scale of latents free: data made of them need its inverse as
    their `scaling_factor`.
    """

    kind: ClassVar = "kl-autoencoding"

    error: Literal["squared", "absolute"] = "squared"
    kl_weight: float = non_negative(default=1e-4)
    batch_size: int = count(default=16, rehearsal=4)
    flip: bool = True
