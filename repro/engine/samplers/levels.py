"""Samplers of networks that denoise at whole-numbered levels, as the job of sampling calls them."""

from typing import Any

import torch
from torch import Tensor

from repro.engine.samplers.sampler import Batch, DenoisingSampler, Network, Sampler
from repro.errors import RunError
from repro.spec.objective import Denoise


def on_levels(sampler: DenoisingSampler) -> Sampler:
    """*sampler*, given a network that is called with noised images and the level of each.

    Raises:
        RunError: when called for a network of another objective.
    """

    def sampled(spec: Any, network: Network, batch: Batch, *, objective: Any) -> Tensor:
        if not isinstance(objective, Denoise):
            msg = f"sample: {spec.kind} needs a denoising network, got {objective.kind}"
            raise RunError(msg)

        def predict(z: Tensor, level: int) -> Tensor:
            return network(z, torch.full((len(z),), level, device=z.device))

        return sampler(spec, predict, batch.noise(), process=objective, draw=batch.noise)

    return sampled
