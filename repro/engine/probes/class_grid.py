"""Images of fixed seeds, a column a class, and what a classifier takes each of them for."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import nn

from repro.engine.determinism import deterministic
from repro.engine.objectives.images import signed
from repro.engine.probes.fixed_seed_grid import appearance
from repro.engine.probes.pictures import captioned
from repro.engine.probes.probe import Findings, Left, Subject, Value
from repro.spec.probes.denoising import ClassGrid

BATCH_SIZE = 256
MOST_IMAGES = 110
"""More are judged, but not drawn."""


def class_grid(spec: ClassGrid, subject: Subject) -> Findings:
    """The images with what each is taken for and how surely; how often that is what was asked."""
    del spec  # its sample and its judge come with the subject
    made = subject.samples()
    probabilities = judged(subject.judge(), made.images, device=subject.device)
    taken_for = probabilities.argmax(axis=1)
    surely = probabilities.max(axis=1)
    captions = [
        f"{asked}: {taken} {share:.2f}"
        for asked, taken, share in zip(
            made.labels.tolist(), taken_for.tolist(), surely.tolist(), strict=True
        )
    ]
    return Findings(
        values=(
            *agreement(taken_for, made.labels, surely),
            *appearance(made.images),
            within_classes(made.images, made.labels),
        ),
        files=(
            Left(
                role="grid",
                name="class-grid.png",
                data=captioned(
                    made.images[:MOST_IMAGES],
                    captions[:MOST_IMAGES],
                    columns=probabilities.shape[1],
                ),
                media_type="image/png",
            ),
            Left(
                role="scores",
                name="scores.safetensors",
                data=save(
                    {
                        "probabilities": probabilities,
                        "labels": made.labels,
                        "sources": made.sources,
                    }
                ),
            ),
        ),
        facts={"label_sensitivity": made.facts.get("label_sensitivity")},
    )


def judged(judge: nn.Module, images: NDArray[np.uint8], *, device: str) -> NDArray[np.float32]:
    """The probability [N, K] of each class for images [N, H, W, C]."""
    parts = [images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE)]
    with deterministic(), torch.inference_mode():
        logits = [judge(signed(part).to(device)).softmax(dim=1).cpu() for part in parts]
    found: NDArray[np.float32] = torch.cat(logits).numpy()
    return found


def agreement(
    taken_for: NDArray[np.int64], labels: NDArray[np.int64], surely: NDArray[np.float32]
) -> tuple[Value, ...]:
    """How often an image is taken for what was asked, and how surely it is taken for anything."""
    num = len(labels)
    rate = float((taken_for == labels).mean())
    return (
        Value(
            metric="class_accuracy",
            value=rate,
            num=num,
            unit="fraction",
            se=math.sqrt(rate * (1 - rate) / num),
            se_kind="binomial",
        ),
        Value(metric="judge_confidence", value=float(surely.mean()), num=num, unit="probability"),
    )


def within_classes(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Value:
    """The deviation of a value within its class, as a part of a byte's range: 0 if all are one."""
    values = images.reshape(len(images), -1).astype(np.float64) / 255
    spreads = [values[labels == each].std(axis=0).mean() for each in np.unique(labels)]
    unit = "of the range of a byte"
    return Value(metric="class_std", value=float(np.mean(spreads)), num=len(images), unit=unit)
