"""Training by denoising: predict what was added to an image at a random noise level."""

from typing import Any

import torch
from attrs import Factory, field, frozen
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn.functional import mse_loss

from repro.engine.datasets import EncodedImages, Images
from repro.engine.guidance import null_label_of
from repro.engine.objectives.images import draw_indices, examples
from repro.engine.objectives.objective import LossOut, Objective
from repro.engine.objectives.weighting import loss_weights, signal_to_noise
from repro.engine.schedules import Prediction, forward_process
from repro.spec.objective import Denoise
from repro.spec.weighting import UniformWeighting


def denoise(spec: Denoise, *, data: Images | EncodedImages) -> Objective:
    """The squared error of the network's prediction, each level weighted as the spec says."""
    return Denoising(spec=spec, data=data, process=forward_process(spec.schedule))


@frozen(kw_only=True, eq=False)
class Denoising:
    """Images, the process that adds noise to them, and the `levels` that it is drawn from."""

    spec: Denoise
    data: Images | EncodedImages
    process: Any
    levels: range = field(
        default=Factory(lambda self: range(self.spec.schedule.num_levels), takes_self=True)
    )

    @property
    def num_images(self) -> int:
        """How many images a micro-batch shows the network."""
        return self.spec.batch_size

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        del step, micro  # the generator knows them
        size = self.spec.batch_size
        chosen = draw_indices(len(self.data.labels), size, generator=generator)
        levels = torch.randint(self.levels.start, self.levels.stop, (size,), generator=generator)
        clean = examples(self.data, chosen, generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        noised = self.process.add_noise(clean, noise, levels)
        wanted = target(self.spec.prediction, self.process, clean, noise, levels)
        device = next(network.parameters()).device
        told = self._told(network, chosen, generator=generator)
        output = network(noised.to(device), levels.to(device), *(each.to(device) for each in told))
        return self._weighed(output, wanted.to(device), levels)

    def _weighed(self, output: Tensor, wanted: Tensor, levels: Tensor) -> LossOut:
        if self.spec.weighting == UniformWeighting():
            return LossOut(loss=mse_loss(output, wanted))
        snr = signal_to_noise(self.process)[levels]
        weights = loss_weights(self.spec.weighting, self.spec.prediction, snr).to(output)
        errors = (output - wanted).square().flatten(1).mean(dim=1)
        return LossOut(
            loss=(weights * errors).mean(), values={"mse": float(errors.detach().mean())}
        )

    def _told(
        self, network: nn.Module, chosen: NDArray[Any], *, generator: Generator
    ) -> tuple[Tensor, ...]:
        """The labels of the *chosen* images, some dropped; nothing for a network without."""
        null_label = null_label_of(network)
        if null_label is None:
            return ()
        labels = torch.from_numpy(self.data.labels[chosen])
        return (
            dropped(
                labels, self.spec.condition_dropout, null_label=null_label, generator=generator
            ),
        )


def dropped(labels: Tensor, probability: float, *, null_label: int, generator: Generator) -> Tensor:
    """*labels* [B], each replaced by the null label with *probability*, by itself."""
    drawn = torch.rand(len(labels), generator=generator) < probability
    return labels.masked_fill(drawn, null_label)


def target(
    prediction: Prediction, process: Any, clean: Tensor, noise: Tensor, levels: Tensor
) -> Tensor:
    """What a perfect network would put out for *clean* noised by *noise* at *levels*."""
    match prediction:
        case "epsilon":
            return noise
        case "sample":
            return clean
        case "v":
            velocity: Tensor = process.get_velocity(clean, noise, levels)
            return velocity
