"""A shadow of the weights that follows them slowly; samples are made from it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from repro.spec.train import ConstantEma, EmaLaw, HalfLifeEma, WarmupEma


def decay_at(law: EmaLaw, *, step: int, num_images: int = 0) -> float:
    """The decay after update number *step*, the first being 0, with *num_images* in each."""
    match law:
        case ConstantEma(decay=decay):
            return decay
        case WarmupEma(decay=decay):
            return min(decay, (1 + step) / (10 + step))
        case HalfLifeEma(images=images, ramp=ramp):
            half_life = min(images, ramp * step * num_images)
            return 0.5 ** (num_images / half_life) if half_life else 0.0


def shadow_of(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy of a network's weights, to be moved by `follow`."""
    return {name: value.clone() for name, value in weights.items()}


@torch.no_grad()
def follow(shadow: Mapping[str, Tensor], weights: Mapping[str, Tensor], *, decay: float) -> None:
    """Move *shadow* to decay shadow + (1 - decay) weights, in place; counters are copied."""
    followed = [name for name, value in weights.items() if value.is_floating_point()]
    if followed:  # in one call, as torch.optim.swa_utils does
        shadows, values = ([each[name] for name in followed] for each in (shadow, weights))
        torch._foreach_lerp_(shadows, values, 1 - decay)
    for name in weights.keys() - set(followed):
        shadow[name].copy_(weights[name])
