"""Images of a trained network: image i is that of the number `seed + i`, whatever the set.

The number seeds the image's own generator, from which all its noise comes, that of the steps
included; modulo the classes it is the image's label. Kernels round by the size of a batch, so every
network call has the same number of rows: the last batch is filled up with images that are dropped.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from repro.engine.builders import builder_of
from repro.engine.determinism import deterministic
from repro.engine.progress import Advance
from repro.engine.randomness import Randomness, draw_each
from repro.engine.seeds import normal, per_image
from repro.errors import RunError
from repro.spec.objective import Denoise, Objective
from repro.spec.sample import FromCheckpoint, OneStep, Quantisation


@frozen(kw_only=True, eq=False)
class Samples:
    """uint8 images [N, H, W, C], their seeds and labels [N], and the network calls each took."""

    images: NDArray[np.uint8]
    seeds: NDArray[np.int64]
    labels: NDArray[np.int64]
    nfe: int


def sample_images(
    spec: FromCheckpoint,
    network: nn.Module,
    *,
    objective: Objective,
    randomness: Randomness,
    num_classes: int,
    batch_size: int,
    advance: Advance,
    decode: Callable[[Tensor], Tensor] | None = None,
) -> Samples:
    """Make the images of *spec* on the network's device; *decode* makes images of its latents.

    *objective* says what the network was trained to predict; *randomness* is what each image draws
    from its own generator before the first call. *advance* is told how many images each batch has
    added. Another *batch_size* may change an image in the last bit of a byte, because kernels round
    by it.

    Raises:
        RunError: when an image is not finite.
    """
    device = next(network.parameters()).device
    calls = _Counted(network.eval())
    seeds = np.arange(spec.num_samples, dtype=np.int64) + spec.seed
    labels = seeds % num_classes
    images: list[NDArray[np.uint8]] = []
    batches = list(_batches(spec.num_samples, batch_size))
    with deterministic(), torch.inference_mode():
        for rows in batches:
            batch = _Batch(
                generators=per_image(seeds[rows].tolist()),
                labels=torch.from_numpy(labels[rows]).to(device),
                randomness=randomness,
                device=device,
            )
            made = _sampled(spec, calls, batch, objective=objective)
            added = min(batch_size, spec.num_samples - len(images) * batch_size)
            decoded = made if decode is None else decode(made)
            images.append(quantise(decoded[:added], rule=spec.quantisation))
            advance(added)
    return Samples(
        images=np.concatenate(images),
        seeds=seeds,
        labels=labels,
        nfe=calls.count // len(batches),
    )


def quantise(images: Tensor, *, rule: Quantisation = "round-half-even") -> NDArray[np.uint8]:
    """Images [B, C, H, W] as bytes [B, H, W, C]: clamped to [-1, 1], then rounded or truncated.

    Raises:
        RunError: when a value is not finite; a byte would hide it.
    """
    if not bool(images.isfinite().all()):
        msg = (
            "sample: a sampled image is not finite; the network diverged in training, or its "
            "sampler needs clip = true"
        )
        raise RunError(msg)
    scaled = ((images + 1) * 127.5).clamp(0, 255)
    scaled = (scaled.round() if rule == "round-half-even" else scaled.floor()).to(torch.uint8)
    pixels: NDArray[np.uint8] = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels


class _Counted:
    """A network that counts how often it is called."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self.count = 0

    def __call__(self, *inputs: Tensor) -> Tensor:
        self.count += 1
        output: Tensor = self._network(*inputs)
        return output


@frozen(kw_only=True, eq=False)
class _Batch:
    """What makes the images of one batch differ."""

    generators: Sequence[Generator]
    labels: Tensor
    randomness: Randomness
    device: torch.device

    def start(self) -> list[Tensor]:
        """What a generator starts from: noise, and style indices if it takes any."""
        return [each.to(self.device) for each in draw_each(self.randomness, self.generators)]

    def noise(self) -> Tensor:
        return normal(self.generators, self.randomness.noise_shape).to(self.device)


def _sampled(
    spec: FromCheckpoint, network: _Counted, batch: _Batch, *, objective: Objective
) -> Tensor:
    if isinstance(spec.sampler, OneStep):
        alpha = torch.full(batch.labels.shape, spec.sampler.alpha, device=batch.device)
        noise, *style = batch.start()
        return network(noise, batch.labels, alpha, *style)
    if not isinstance(objective, Denoise):
        msg = f"sample: {spec.sampler.kind} needs a denoising network, got {objective.kind}"
        raise RunError(msg)

    def predict(z: Tensor, level: int) -> Tensor:
        return network(z, torch.full((len(z),), level, device=batch.device))

    images: Tensor = builder_of(spec.sampler)(
        spec.sampler, predict, batch.noise(), process=objective, draw=batch.noise
    )
    return images


def _batches(num: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Indices of the images of each batch; the last image fills up the last batch."""
    return (np.arange(start, start + size).clip(max=num - 1) for start in range(0, num, size))
