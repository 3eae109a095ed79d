"""A shadow of the weights that follows them slowly; samples are made from it."""

import torch
from torch import Tensor, nn

from repro.spec.train import ConstantEma, EmaLaw, WarmupEma


def decay_at(law: EmaLaw, *, step: int) -> float:
    """The decay after update number *step*, the first being 0."""
    match law:
        case ConstantEma(decay=decay):
            return decay
        case WarmupEma(decay=decay):
            return min(decay, (1 + step) / (10 + step))


def shadow_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's weights, to be followed by `follow`."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def follow(shadow: dict[str, Tensor], network: nn.Module, *, decay: float) -> None:
    """Move *shadow* to decay shadow + (1 - decay) weights, in place; counters are copied."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            shadow[name].lerp_(value, 1 - decay)
        else:
            shadow[name].copy_(value)
