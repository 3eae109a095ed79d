"""Training an autoencoder by what it restores, and by how far its posteriors are from normal."""

from typing import Any

import torch
from attrs import frozen
from torch import Generator, Tensor, nn

from repro.engine.datasets import Images
from repro.engine.objectives.images import draw_indices, examples, random_mirrors
from repro.engine.objectives.objective import LossOut, Objective
from repro.errors import RunError
from repro.spec.kl import KlAutoencoding as KlAutoencodingSpec


def kl_autoencoding(spec: KlAutoencodingSpec, *, data: Any) -> Objective:
    """The objective of *spec* on images.

    Raises:
        RunError: the data are no images.
    """
    if not isinstance(data, Images):
        raise RunError("objective: kl-autoencoding needs images")
    return KlAutoencoding(spec=spec, data=data)


@frozen(kw_only=True, eq=False)
class KlAutoencoding:
    """Images, drawn without repetition within a batch while there are enough."""

    spec: KlAutoencodingSpec
    data: Images

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        del step, micro  # the generator knows them
        device = next(network.parameters()).device
        chosen = draw_indices(len(self.data.labels), self.spec.batch_size, generator=generator)
        images = examples(self.data, chosen, generator=generator).to(device)
        if self.spec.flip:
            images = random_mirrors(images, generator=generator)
        coder: Any = network
        law = coder.encode(images).latent_dist
        noise = torch.randn(law.mean.shape, generator=generator).to(device)
        latents = law.mean + law.std * noise
        restored = coder.decode(latents).sample
        gap = restored - images
        error = (gap.square() if self.spec.error == "squared" else gap.abs()).mean()
        divergence = divergence_from_normal(law.mean, law.logvar)
        return LossOut(
            loss=error + self.spec.kl_weight * divergence,
            values={
                "reconstruction": float(error.detach()),
                "divergence": float(divergence.detach()),
                "latent_std": float(latents.detach().std()),
            },
        )


def divergence_from_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp logvar) || N(0, 1)) of a mean latent value (Kingma & Welling 2014, app. B)."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
