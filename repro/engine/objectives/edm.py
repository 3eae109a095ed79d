"""Training a preconditioned denoiser at levels drawn for every scale (Karras et al. 2022)."""

import torch
from attrs import frozen
from torch import Generator, Tensor, nn

from repro.engine.datasets import EncodedImages, Images
from repro.engine.edm.augment import augmented
from repro.engine.edm.codec import encode, on_channels, scales_of
from repro.engine.edm.precondition import denoiser, loss_weight
from repro.engine.objectives.images import draw_indices, examples, random_mirrors
from repro.engine.objectives.objective import LossOut, Objective
from repro.spec.edm import Edm, LogNormalNoise, num_scales


def edm(spec: Edm, *, data: Images | EncodedImages) -> Objective:
    """The squared error of the denoiser, weighted so that the network's counts alike everywhere."""
    return EdmDenoising(spec=spec, data=data)


@frozen(kw_only=True, eq=False)
class EdmDenoising:
    """Images, and how they are encoded, noised and weighted.

    Beside the loss stand its part at every scale, and `data_rms`, what `sigma_data` is meant to be:
    with another the variance of the network's target is not 1.
    """

    spec: Edm
    data: Images | EncodedImages

    @property
    def num_images(self) -> int:
        """How many images a micro-batch shows the network."""
        return self.spec.batch_size

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        del step, micro  # the generator knows them
        device = next(network.parameters()).device
        images, *changes = self.drawn(generator)
        clean = encode(self.spec.codec, images).to(device)
        told = [each.to(device) for each in changes]
        levels = noise_levels(
            self.spec.noise,
            len(clean),
            num_scales=num_scales(self.spec.codec),
            generator=generator,
        ).to(device)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        found = denoiser(
            lambda scaled, logs: network(scaled, logs, *told), sigma_data=self.spec.sigma_data
        )(clean + on_channels(levels, clean) * noise, levels)
        weight = loss_weight(levels, sigma_data=self.spec.sigma_data)
        errors = on_channels(weight, clean) * (found - clean).square()
        rms = float(clean.square().mean().sqrt())
        return LossOut(loss=errors.mean(), values={**self._by_scale(errors), "data_rms": rms})

    def drawn(self, generator: Generator) -> tuple[Tensor, ...]:
        """Images [B, C, H, W], and what was done to them [B, 9] if the network is told."""
        chosen = draw_indices(len(self.data.labels), self.spec.batch_size, generator=generator)
        images = examples(self.data, chosen, generator=generator)
        if self.spec.augment:
            return augmented(self.spec.augment, images, generator=generator)
        if self.spec.flip:
            images = random_mirrors(images, generator=generator)
        return (images,)

    def _by_scale(self, errors: Tensor) -> dict[str, float]:
        names = scales_of(self.spec.codec)
        if len(names) == 1:
            return {}
        each = errors.detach().chunk(len(names), dim=1)
        return {name: float(part.mean()) for name, part in zip(names, each, strict=True)}


def noise_levels(law: LogNormalNoise, num: int, *, num_scales: int, generator: Generator) -> Tensor:
    """Levels [num, scales], each drawn by itself, or the same at all scales if coupled."""
    drawn = torch.randn((num, 1 if law.coupled else num_scales), generator=generator)
    return (law.mean + law.std * drawn).exp().expand(num, num_scales)
