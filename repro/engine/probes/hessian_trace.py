"""The curvature of the training's loss at a checkpoint, over all noise levels and in bands."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from attrs import evolve
from safetensors.numpy import save
from torch import Tensor, nn

from repro.engine.objectives.denoise import Denoising
from repro.engine.objectives.objective import Objective
from repro.engine.objectives.weighting import loss_weights, signal_to_noise
from repro.engine.probes.hutchinson import TraceEstimate, evaluating, hutchinson_trace
from repro.engine.probes.probe import Findings, Left, Subject, Value
from repro.engine.seeds import seeded
from repro.errors import RunError
from repro.spec.identity import identity_data
from repro.spec.probes.hessian_trace import HessianTrace

UNIT = "loss per squared parameter"


def hessian_trace(spec: HessianTrace, subject: Subject) -> Findings:
    """Trace, its spread over probes and the loss; the same for each band of noise levels.

    Raises:
        RunError: when bands are asked of a loss without noise levels, or a trace is not finite.
    """
    network, objective = subject.network(spec.weights), subject.objective()
    values: list[Value] = []
    arrays: dict[str, Any] = {}
    parts = dict(_bands(spec.num_bands, objective))
    with subject.progress.track("hessian trace", 1 + len(parts)) as advance:
        for name, part in {"": objective, **parts}.items():
            found = _estimate(spec, network, part, step=subject.step or 0)
            values += _values(name, found, part)
            arrays[f"traces{name}"] = np.asarray(found.per_probe)
            arrays[f"losses{name}"] = np.asarray(found.losses)
            advance(1)
    return Findings(
        values=tuple(values),
        files=(Left(role="probes", name="probes.safetensors", data=save(arrays)),),
        protocol={
            "objective": identity_data(subject.training.objective),
            "network": identity_data(subject.training.network),
            "data": subject.data().digest,
        },
        facts={"parameters": sum(each.numel() for each in _trained(network))},
    )


def bands(num_levels: int, num_bands: int) -> tuple[range, ...]:
    """Equal ranges of noise levels, to within one level, that together are all of them."""
    ends = [round(num_levels * number / num_bands) for number in range(num_bands + 1)]
    return tuple(range(start, stop) for start, stop in pairwise(ends))


def _bands(num_bands: int, objective: Objective) -> Iterator[tuple[str, Objective]]:
    if not num_bands:
        return
    if not isinstance(objective, Denoising):
        msg = "hessian-trace: num_bands asks about noise levels, which this objective has none of"
        raise RunError(f"{msg}; expected 0")
    for band in bands(objective.spec.schedule.num_levels, num_bands):
        yield f".{band.start}-{band.stop - 1}", evolve(objective, levels=band)


def _estimate(
    spec: HessianTrace, network: nn.Module, objective: Objective, *, step: int
) -> TraceEstimate:
    def loss(probe: int) -> Tensor:
        batch = seeded("hessian-trace", "batch", spec.seed, probe if spec.resampled else 0)
        return objective.loss(network, step=step, micro=0, generator=batch).loss

    with evaluating(network):
        found = hutchinson_trace(
            loss,
            _trained(network),
            num_probes=spec.num_probes,
            generator=seeded("hessian-trace", "vectors", spec.seed),
            vectors=spec.vectors,
        )
    if not np.isfinite(found.mean):
        msg = "hessian-trace: the trace is not finite; the network diverged in training"
        raise RunError(msg)
    return found


def _trained(network: nn.Module) -> list[nn.Parameter]:
    return [each for each in network.parameters() if each.requires_grad]


def _values(name: str, found: TraceEstimate, objective: Objective) -> Iterator[Value]:
    """What was found of one part, its metrics called `<metric><name>`."""
    num = len(found.per_probe)
    yield Value(
        metric=f"hessian_trace{name}",
        value=found.mean,
        num=num,
        unit=UNIT,
        se=found.sem,
        se_kind="over probes" if found.sem is not None else "",
    )
    yield Value(metric=f"hessian_trace_std{name}", value=found.std, num=num, unit=UNIT)
    yield Value(metric=f"loss{name}", value=found.loss, num=num)
    if name and isinstance(objective, Denoising):
        for metric, value in _levels(objective).items():
            yield Value(metric=f"{metric}{name}", value=value, num=len(objective.levels))


def _levels(objective: Denoising) -> Mapping[str, float]:
    """What a band's levels count in the loss on the average, and how much signal they have."""
    snr = signal_to_noise(objective.process)
    weights = loss_weights(objective.spec.weighting, objective.spec.prediction, snr)
    within = slice(objective.levels.start, objective.levels.stop)
    return {
        "weight": float(weights[within].mean()),
        "snr": float(torch.exp(snr[within].log().mean())),
    }
