"""Training by masked autoencoding: restore what was hidden of an image."""

from typing import Any

import torch
from attrs import frozen
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from repro.engine.datasets import EncodedImages, Images, Points
from repro.engine.networks.mae import patchified
from repro.engine.objectives.images import augmented, draw_indices, examples
from repro.engine.objectives.objective import LossOut, Objective
from repro.errors import RunError
from repro.spec.objective import ClassifierTuning
from repro.spec.objective import MaskedAutoencoding as MaskedAutoencodingSpec


def masked_autoencoding(
    spec: MaskedAutoencodingSpec, *, data: Images | EncodedImages | Points, network_spec: Any
) -> Objective:
    """The objective of *spec* on images, or on latents in their place.

    Of the network's spec it needs `patch` and `num_classes`.

    Raises:
        RunError: when the data are points, have more classes than the classifier, or have sides
            that hold no whole number of hidden patches.
    """
    if isinstance(data, Points):
        msg = "objective: masked-autoencoding needs images, the data are points"
        raise RunError(msg)
    _, height, width = data.shape
    side = spec.mask_patch * network_spec.patch
    if height % side or width % side:
        msg = (
            f"objective.mask_patch: {spec.mask_patch} patches of {network_spec.patch} pixels do "
            f"not divide {height} x {width}"
        )
        raise RunError(msg)
    if spec.classify and network_spec.num_classes < data.num_classes:
        msg = (
            f"network.num_classes: {network_spec.num_classes}, but the data set has "
            f"{data.num_classes} classes; raise it to {data.num_classes}"
        )
        raise RunError(msg)
    return MaskedAutoencoding(spec=spec, data=data, patch=network_spec.patch)


@frozen(kw_only=True, eq=False)
class MaskedAutoencoding:
    """The mean squared error of hidden places, at the end joined by a classifier's cross-entropy.

    Images of a batch are all different while the data set holds enough. Of latents a view is drawn.
    """

    spec: MaskedAutoencodingSpec
    data: Images | EncodedImages
    patch: int

    @property
    def num_images(self) -> int:
        """How many images a micro-batch shows the network."""
        return self.spec.batch_size

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        del micro  # the generator knows it
        device = next(network.parameters()).device
        chosen = draw_indices(len(self.data.labels), self.spec.batch_size, generator=generator)
        images = examples(self.data, chosen, generator=generator).to(device)
        images = augmented(
            images, least_area=self.spec.least_area, flip=self.spec.flip, generator=generator
        )
        grid = patchified(images, self.patch)
        hidden = draw_hidden(
            grid, ratio=self.spec.mask_ratio, patch=self.spec.mask_patch, generator=generator
        )
        restored, logits = network(grid, hidden)
        reconstruction = hidden_error(restored, grid, hidden)
        values = {"reconstruction": reconstruction.item()}
        tuning = self.spec.classify
        if tuning is None or logits is None or step < tuning.first_step:
            return LossOut(loss=reconstruction, values=values)
        labels = torch.from_numpy(self.data.labels[chosen]).to(device)
        classification = cross_entropy(logits, labels)
        values["cross_entropy"] = classification.item()
        values["accuracy"] = (logits.argmax(dim=1) == labels).float().mean().item()
        return LossOut(
            loss=torch.lerp(reconstruction, classification, classifier_weight(tuning, step=step)),
            values=values,
        )


def draw_hidden(grid: Tensor, *, ratio: float, patch: int, generator: Generator) -> Tensor:
    """Which places [B, 1, H, W] of *grid* [B, C, H, W] to hide: whole patches, each by chance."""
    num, _, height, width = grid.shape
    drawn = torch.rand((num, 1, height // patch, width // patch), generator=generator) < ratio
    whole = drawn.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)
    return whole.to(grid.device)


def hidden_error(restored: Tensor, grid: Tensor, hidden: Tensor) -> Tensor:
    """The squared error, summed over channels, of the mean hidden place; 0 if none is hidden."""
    error = (restored - grid).square().sum(dim=1, keepdim=True)
    return error.masked_fill(~hidden, 0.0).sum() / hidden.sum().clamp_min(1)


def classifier_weight(tuning: ClassifierTuning, *, step: int) -> float:
    """The share of the cross-entropy in the loss after *step* updates."""
    return tuning.weight * min(1.0, max(0, step - tuning.first_step) / tuning.ramp_steps)
