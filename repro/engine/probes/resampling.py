"""The images of a probe's `sample` once more, with an eye on every call of the network."""

from typing import Any

import torch
from torch import Tensor

from repro.engine.guidance import Teller
from repro.engine.image_batch import ImageBatch
from repro.engine.installed import installed_builder
from repro.engine.probes.probe import Subject
from repro.engine.randomness import randomness_of
from repro.engine.samplers.sampler import Network
from repro.engine.samplers.table import SAMPLERS
from repro.engine.seeds import per_image
from repro.spec.sample import FromCheckpoint


def batch_of(sample: FromCheckpoint, subject: Subject) -> ImageBatch:
    """What makes the images of *sample* differ, all in one batch."""
    data: Any = subject.data()
    seeds = range(sample.seed, sample.seed + sample.num_samples)
    return ImageBatch(
        generators=per_image(seeds),
        labels=(torch.tensor(seeds) % data.num_classes).to(subject.device),
        randomness=randomness_of(subject.training.network, data.shape),
    )


def network_of(sample: FromCheckpoint, subject: Subject, labels: Tensor) -> Network:
    """The network as the sampler of *sample* calls it: told *labels*, guided as the sample says."""
    network = subject.network(sample.weights)
    return Teller(network, guidance=sample.guidance).telling(network, labels)


def sampled(
    sample: FromCheckpoint, subject: Subject, network: Network, batch: ImageBatch
) -> Tensor:
    """What the sampler makes of the batch by *network*, one call after the other."""
    sampler = SAMPLERS.get(type(sample.sampler)) or installed_builder(sample.sampler)
    made: Tensor = sampler(sample.sampler, network, batch, objective=subject.training.objective)
    return made
