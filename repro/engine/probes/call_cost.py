"""What a call of the network costs."""

import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

from repro.engine.edm.codec import seen_shape
from repro.engine.guidance import null_label_of
from repro.engine.probes.probe import Findings, Subject, Value
from repro.spec.edm import Edm, num_scales
from repro.spec.probes.denoising import CallCost


def call_cost(spec: CallCost, subject: Subject) -> Findings:
    """Parameters, operations an example, and the time of an example in a batch on this machine."""
    network = subject.network()
    data: Any = subject.data()
    objective = subject.training.objective
    z = torch.zeros(spec.batch_size, *seen_shape(objective, data.shape), device=subject.device)
    inputs = _inputs(network, z, objective)
    times = [_timed(network, inputs) for _ in range(spec.repeats + 1)][1:]
    num = sum(each.numel() for each in network.parameters())
    return Findings(
        values=(
            Value(metric="parameters", value=num, num=1, unit="numbers"),
            Value(
                metric="operations",
                value=operations(network, inputs) / spec.batch_size,
                num=1,
                unit="FLOP an example",
            ),
            Value(
                metric="seconds",
                value=statistics.median(times) / spec.batch_size,
                num=spec.repeats,
                unit="s an example",
            ),
        ),
    )


def operations(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Multiplications and additions of matrix products and convolutions in one call.

    Attention is called as the products that it is made of: the counter misses it where a CPU fuses
    them.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        network(*inputs)
    return counter.get_total_flops()


def _timed(network: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    started_s = time.perf_counter()
    with torch.inference_mode():
        network(*inputs)
        if inputs[0].is_cuda:
            torch.cuda.synchronize()
    return time.perf_counter() - started_s


def _inputs(network: nn.Module, z: Tensor, objective: Any) -> tuple[Tensor, ...]:
    """What a denoiser is called with: images, their levels, and labels if it takes any."""
    if isinstance(objective, Edm):
        return z, z.new_zeros(len(z), num_scales(objective.codec))
    zeros = torch.zeros(len(z), dtype=torch.int64, device=z.device)
    return (z, zeros) if null_label_of(network) is None else (z, zeros, zeros)
