"""What turns images into latents and back."""

from typing import TYPE_CHECKING, Any, ClassVar

from attrs import frozen

from repro.spec.fields import (
    content_digest,
    count,
    location,
    note,
    random_seed,
    widths,
)

if TYPE_CHECKING:
    from repro.spec.document import Spec


@frozen(kw_only=True)
class KlArchitecture:
    """The layers of diffusers' `AutoencoderKL`; the defaults are those of Stable Diffusion 1.

    `channels` are the widths from the finest map downward; each entry after the first halves the
    sides, so four of them make a latent of an eighth of the image's sides.
    """

    channels: tuple[int, ...] = widths(default=(128, 256, 512, 512), rehearsal=8)
    layers_per_block: int = count(default=2, rehearsal=1)
    latent_channels: int = count(default=4)
    norm_groups: int = count(default=32, rehearsal=4)


@frozen(kw_only=True)
class AutoencoderKl:
    """A trained `AutoencoderKL` of RGB images (Rombach et al. 2022), held to its weights' digest.

    `repository` is an `owner/name` of the Hugging Face hub, of which `revision` is read, or a
    folder with the same two files: `config.json` and `diffusion_pytorch_model.safetensors`.
    `weights` is the SHA-256 digest of the latter, as the hub shows it. Where the files come from is
    no part of an identity; the digest and the layers are, and `config.json` must agree with them.
    """

    kind: ClassVar = "autoencoder-kl"

    repository: str = location()
    revision: str = note("main")
    weights: str = content_digest()
    architecture: KlArchitecture = KlArchitecture()


@frozen(kw_only=True)
class UntrainedAutoencoderKl:
    """The same layers with weights drawn from `seed`: for rehearsals, which need no download."""

    kind: ClassVar = "autoencoder-kl-untrained"

    seed: int = random_seed(default=0)
    architecture: KlArchitecture = KlArchitecture()


@frozen(kw_only=True)
class TrainedAutoencoderKl:
    """One that another run trains (`from`, its spec file), with the averaged weights of its end.

    The run's objective is `kl-autoencoding`; its stages join the plan.
    """

    kind: ClassVar = "trained"

    run: "Spec"

    @property
    def architecture(self) -> KlArchitecture:
        """The layers that the run trains; those of Stable Diffusion if it trains none."""
        network: Any = self.run.network
        found: KlArchitecture = getattr(network, "architecture", KlArchitecture())
        return found


Autoencoder = AutoencoderKl | UntrainedAutoencoderKl | TrainedAutoencoderKl
