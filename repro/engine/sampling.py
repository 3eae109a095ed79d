"""Images of a trained network: image i is that of the number `seed + i`, whatever the set.

The number seeds the image's own generator, from which all its noise comes, that of the steps
included; modulo the classes it is the image's label. Kernels round by the size of a batch, so every
network call has the same number of rows: the last batch is filled up with images that are dropped.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from repro.engine.builders import builder_of
from repro.engine.determinism import deterministic
from repro.engine.guidance import Teller
from repro.engine.image_batch import ImageBatch
from repro.engine.progress import Advance
from repro.engine.quantise import quantise
from repro.engine.randomness import Randomness
from repro.engine.seeds import per_image
from repro.spec.sample import FromCheckpoint


@frozen(kw_only=True, eq=False)
class Samples:
    """uint8 images [N, H, W, C], their seeds and labels [N], and the network calls each took.

    `sensitivity` is how far the output of a network that takes labels moves with them.
    """

    images: NDArray[np.uint8]
    seeds: NDArray[np.int64]
    labels: NDArray[np.int64]
    nfe: int
    sensitivity: float | None = None


def sample_images(
    spec: FromCheckpoint,
    network: nn.Module,
    *,
    objective: Any,
    randomness: Randomness,
    num_classes: int,
    batch_size: int,
    advance: Advance,
    decode: Callable[[Tensor], Tensor] | None = None,
) -> Samples:
    """Make the images of *spec* on the network's device; *decode* makes images of its latents.

    *objective*, a spec, says what the network was trained to predict; *randomness* is what each
    image draws from its own generator before the first call. *advance* is told how many images each
    batch has added. Another *batch_size* may change an image in the last bit of a byte, because
    kernels round by it.

    Raises:
        RunError: when an image is not finite, or the network takes labels and does not heed them.
    """
    device = next(network.parameters()).device
    calls = _Counted(network.eval())
    teller = Teller(network, guidance=spec.guidance)
    sampler = builder_of(spec.sampler)
    seeds = np.arange(spec.num_samples, dtype=np.int64) + spec.seed
    labels = seeds % num_classes
    images: list[NDArray[np.uint8]] = []
    batches = list(_batches(spec.num_samples, batch_size))
    with deterministic(), torch.inference_mode():
        for rows in batches:
            batch = ImageBatch(
                generators=per_image(seeds[rows].tolist()),
                labels=torch.from_numpy(labels[rows]).to(device),
                randomness=randomness,
            )
            called = teller.telling(calls, batch.labels)
            made: Tensor = sampler(spec.sampler, called, batch, objective=objective)
            added = min(batch_size, spec.num_samples - len(images) * batch_size)
            decoded = made if decode is None else decode(made)
            images.append(quantise(decoded[:added], rule=spec.quantisation))
            advance(added)
    return Samples(
        images=np.concatenate(images),
        seeds=seeds,
        labels=labels,
        nfe=calls.samples // (len(batches) * batch_size),
        sensitivity=teller.sensitivity,
    )


class _Counted:
    """A network that counts for how many samples it has been called."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self.samples = 0

    def __call__(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        self.samples += len(inputs[0])
        output: Tensor = self._network(*inputs, **named)
        return output


def _batches(num: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Indices of the images of each batch; the last image fills up the last batch."""
    return (np.arange(start, start + size).clip(max=num - 1) for start in range(0, num, size))
