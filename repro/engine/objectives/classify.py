"""Training the feature encoder: cross-entropy on the labels of a data set."""

import torch
from attrs import frozen
from torch import Generator, nn

from repro.engine.datasets import EncodedImages, Images
from repro.engine.objectives.images import draw_indices, examples, random_mirrors
from repro.engine.objectives.objective import LossOut, Objective
from repro.spec.network import ConvEncoder


def classify(spec: ConvEncoder, *, data: Images | EncodedImages) -> Objective:
    """The objective that trains the encoder of *spec* as a classifier of *data*."""
    return Classify(data=data, batch_size=spec.batch_size, flip=spec.flip)


@frozen(kw_only=True, eq=False)
class Classify:
    """Cross-entropy of random batches, each drawn without replacement; mirrored if asked for."""

    data: Images | EncodedImages
    batch_size: int
    flip: bool

    def loss(self, network: nn.Module, *, step: int, micro: int, generator: Generator) -> LossOut:
        device = next(network.parameters()).device
        chosen = draw_indices(len(self.data.labels), self.batch_size, generator=generator)
        labels = torch.from_numpy(self.data.labels[chosen]).to(device)
        images = examples(self.data, chosen, generator=generator)
        if self.flip:
            images = random_mirrors(images, generator=generator)
        logits = network(images.to(device))
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        loss = nn.functional.cross_entropy(logits, labels)
        return LossOut(loss=loss, values={"accuracy": accuracy.item()})
