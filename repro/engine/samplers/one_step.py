"""One call of a generator."""

from typing import Any

import torch
from torch import Tensor

from repro.engine.samplers.sampler import Batch, Network
from repro.spec.sample import OneStep


def one_step(spec: OneStep, network: Network, batch: Batch, *, objective: Any) -> Tensor:
    """What a generator makes of noise, labels and the guidance scale (Deng et al. 2026)."""
    del objective  # whatever it was trained by, it is called like this
    alpha = torch.full(batch.labels.shape, spec.alpha, device=batch.labels.device)
    noise, *style = batch.start()
    return network(noise, batch.labels, alpha, *style)
