"""Whether a network heeds its label: how far its prediction moves when only the label changes."""

from typing import Any

import torch
from torch import Tensor, nn

from repro.engine.determinism import deterministic
from repro.engine.evaluation.references import drawn
from repro.engine.guidance import sensitivity
from repro.engine.probes.probe import Findings, Subject, Value
from repro.engine.probes.reconstruction import clean_examples
from repro.engine.schedules import forward_process
from repro.engine.seeds import seeded
from repro.spec.probes.denoising import LabelSensitivity


def label_sensitivity(spec: LabelSensitivity, subject: Subject) -> Findings:
    """The mean absolute difference between two classes at each level, also against the output's."""
    data: Any = subject.data()
    network: Any = subject.network()
    objective: Any = subject.training.objective
    forward = forward_process(objective.schedule)
    chosen = drawn(len(data.labels), spec.num_images)
    clean = clean_examples(data, chosen)
    values = []
    for level in spec.levels:
        levels = torch.full((len(chosen),), level)
        noise = torch.randn(clean.shape, generator=seeded("sensitivity", spec.seed, level))
        z = forward.add_noise(clean, noise, levels).to(subject.device)
        values += moved(network, z, levels.to(subject.device), level=level)
    tokens = getattr(network.condition, "num_tokens", 1)
    layers = network.cross_attention_layers()
    return Findings(
        values=(
            *values,
            Value(metric="cross_attention_layers", value=layers, num=1, unit="layers"),
            Value(metric="condition_tokens", value=tokens, num=1, unit="tokens"),
        ),
        protocol={"data": data.digest},
    )


def moved(network: nn.Module, z: Tensor, levels: Tensor, *, level: int) -> list[Value]:
    """How far outputs for z [B, ...] at *levels* [B] move with the label: plain, and by their size.

    The size is the mean absolute output without a class.
    """
    null = torch.full((len(z),), int(network.null_label), device=z.device)  # type: ignore[arg-type]
    with deterministic(), torch.inference_mode():
        plain = sensitivity(network, z, levels)
        size = float(network(z, levels, null).abs().mean())
    return [
        Value(metric=f"label_sensitivity/{level}", value=plain, num=len(z)),
        Value(
            metric=f"relative_label_sensitivity/{level}",
            value=plain / size if size else 0.0,
            num=len(z),
            unit="of the mean absolute output",
        ),
    ]
