"""Real images noised up to a level and taken back: what of them is restored, what is made up."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.engine.datasets import EncodedImages
from repro.engine.determinism import deterministic
from repro.engine.evaluation.references import drawn
from repro.engine.image_batch import ImageBatch
from repro.engine.objectives.images import latents, signed
from repro.engine.probes.pictures import captioned
from repro.engine.probes.probe import Findings, Left, Subject, Value
from repro.engine.probes.resampling import network_of
from repro.engine.quantise import quantise
from repro.engine.randomness import randomness_of
from repro.engine.samplers.from_level import from_level
from repro.engine.schedules import forward_process
from repro.engine.seeds import per_image
from repro.spec.probes.denoising import Reconstruction


def reconstruction(spec: Reconstruction, subject: Subject) -> Findings:
    """A row an image: itself, and what came back from each level; the errors by level."""
    sample: Any = spec.sample  # a checkpoint's: the spec was checked
    data: Any = subject.data()
    chosen = drawn(len(data.labels), spec.num_images)
    clean = clean_examples(data, chosen).to(subject.device)
    labels = torch.from_numpy(data.labels[chosen]).to(subject.device)
    network = network_of(sample, subject, labels)
    process: Any = subject.training.objective
    forward = forward_process(process.schedule)

    def predict(z: Tensor, level: int) -> Tensor:
        return network(z, torch.full((len(z),), level, device=z.device))

    with deterministic(), torch.inference_mode():
        columns = [quantise(subject.decoded(clean))]
        for level in spec.levels:
            batch = ImageBatch(
                generators=per_image(range(spec.seed, spec.seed + len(chosen))),
                labels=labels,
                randomness=randomness_of(subject.training.network, data.shape),
            )
            levels = torch.full((len(chosen),), level)
            noised = forward.add_noise(clean.cpu(), batch.noise(data.shape).cpu(), levels)
            made = from_level(
                sample.sampler,
                predict,
                noised.to(subject.device),
                level,
                process=process,
                draw=batch.noise,
            )
            columns.append(quantise(subject.decoded(made)))
    names = ["data", *(f"from t = {level}" for level in spec.levels)]
    tiles = np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:])
    return Findings(
        values=tuple(
            value
            for level, column in zip(spec.levels, columns[1:], strict=True)
            for value in fidelity(columns[0], column, level, snr=_snr(forward, level))
        ),
        files=(
            Left(
                role="reconstructions",
                name="reconstructions.png",
                data=captioned(tiles, names * len(chosen), columns=len(names)),
                media_type="image/png",
            ),
        ),
        protocol={"data": data.digest},
    )


def fidelity(
    images: NDArray[np.uint8], restored: NDArray[np.uint8], level: int, *, snr: float
) -> tuple[Value, ...]:
    """The mean peak signal-to-noise ratio of bytes [N, H, W, C], and the schedule's own ratio."""
    ratios = peak_ratios(images, restored)
    num = len(ratios)
    error = float(np.std(ratios, ddof=1)) / math.sqrt(num) if num > 1 else None
    return (
        Value(
            metric=f"psnr/{level}",
            value=float(np.mean(ratios)),
            num=num,
            unit="dB",
            se=error,
            se_kind="over images" if error is not None else "",
        ),
        Value(metric=f"snr/{level}", value=snr, num=1),
    )


def peak_ratios(images: NDArray[np.uint8], restored: NDArray[np.uint8]) -> list[float]:
    """The peak signal-to-noise ratio of each of *restored* [N, H, W, C], in dB."""
    pairs = zip(images.astype(np.float64), restored.astype(np.float64), strict=True)
    return [10 * math.log10(255**2 / max(1e-10, float(np.mean((a - b) ** 2)))) for a, b in pairs]


def _snr(forward: Any, level: int) -> float:
    """How much more signal than noise there is at a level, in squares."""
    abar = float(forward.alphas_cumprod.double()[level])
    return abar / (1 - abar)


def clean_examples(data: Any, chosen: NDArray[np.int64]) -> Tensor:
    """The *chosen* images [B, C, H, W] in [-1, 1], or the latents of each as it was, unmirrored."""
    if isinstance(data, EncodedImages):
        return latents(data, chosen, np.zeros(len(chosen), np.int64))
    return signed(data.images[chosen])
