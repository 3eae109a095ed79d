"""The objective of the feature encoder."""

import torch
from attrs import evolve
from torch import Generator

from repro.engine import datasets
from repro.engine.datasets import Images
from repro.engine.networks.conv_encoder import conv_encoder
from repro.engine.objectives.classify import classify
from repro.spec.data import Digits
from repro.spec.network import ConvEncoder

SPEC = ConvEncoder(channels=(8, 16), batch_size=64)


def digits() -> Images:
    data = datasets.LOADERS[Digits](Digits(), None)  # type: ignore[arg-type]
    assert isinstance(data, Images)
    return data


def test_learns_the_digits():
    """Sixty updates on real digits take the accuracy from chance to above 0.8."""
    torch.manual_seed(0)
    network = conv_encoder(SPEC, (1, 8, 8), 10)
    objective = classify(SPEC, data=digits())
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    accuracies = []

    for step in range(60):
        out = objective.loss(network, step=step, micro=0, generator=Generator().manual_seed(step))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        accuracies.append(out.values["accuracy"])

    assert accuracies[0] < 0.3
    assert sum(accuracies[-5:]) / 5 > 0.8


def test_draws_come_from_the_generator():
    """Equal seeds give equal losses, bit for bit; another seed gives another."""
    network = conv_encoder(SPEC, (1, 8, 8), 10)
    objective = classify(SPEC, data=digits())

    first, again, other = (
        objective.loss(network, step=0, micro=0, generator=Generator().manual_seed(seed)).loss
        for seed in (1, 1, 2)
    )

    assert first.item() == again.item()
    assert first.item() != other.item()


def test_a_batch_may_exceed_the_data():
    """A data set smaller than the batch is drawn from with replacement."""
    few = evolve(digits(), images=digits().images[:5], labels=digits().labels[:5])
    objective = classify(SPEC, data=few)

    out = objective.loss(
        conv_encoder(SPEC, (1, 8, 8), 10), step=0, micro=0, generator=Generator().manual_seed(0)
    )

    assert torch.isfinite(out.loss)


def test_mirror_images_are_seen():
    """With `flip` a batch holds mirror images, so its loss is another."""
    network = conv_encoder(SPEC, (1, 8, 8), 10)

    plain, mirrored = (
        classify(evolve(SPEC, flip=flip), data=digits())
        .loss(network, step=0, micro=0, generator=Generator().manual_seed(0))
        .loss.item()
        for flip in (False, True)
    )

    assert plain != mirrored
