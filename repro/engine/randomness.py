"""What is random in a sample: the noise that a network starts from, and for some style indices.

One generator may draw a batch of samples, as a training step does, or every sample its own, which
then does not depend on the batch it is made in.
"""

from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Generator, Tensor

from repro.engine.seeds import normal


@frozen(kw_only=True)
class Randomness:
    """The law of one sample: normal noise of a shape, then uniform indices of style codes."""

    noise_shape: tuple[int, ...]
    num_style_tokens: int = 0
    num_style_codes: int = 1


def randomness_of(network: Any, shape: Sequence[int]) -> Randomness:
    """What the network of a spec draws for a sample of *shape*.

    Noise is a vector if the spec says how long (`noise_dim`), else it has the shape of the sample;
    there are as many style indices as the spec says (`num_style_tokens`), or none.
    """
    return Randomness(
        noise_shape=(network.noise_dim,) if hasattr(network, "noise_dim") else tuple(shape),
        num_style_tokens=getattr(network, "num_style_tokens", 0),
        num_style_codes=getattr(network, "num_style_codes", 1),
    )


def draw(law: Randomness, num: int, *, generator: Generator) -> tuple[Tensor, ...]:
    """Noise [num, *noise_shape] and, if there are any, style indices int64 [num, tokens]."""
    noise = torch.randn((num, *law.noise_shape), generator=generator)
    if not law.num_style_tokens:
        return (noise,)
    size = (num, law.num_style_tokens)
    return noise, torch.randint(law.num_style_codes, size, generator=generator)


def draw_each(law: Randomness, generators: Sequence[Generator]) -> tuple[Tensor, ...]:
    """As `draw`, a sample for each of *generators*; row i draws from generator i only."""
    noise = normal(generators, law.noise_shape)
    if not law.num_style_tokens:
        return (noise,)
    size = (law.num_style_tokens,)
    style = [torch.randint(law.num_style_codes, size, generator=each) for each in generators]
    return noise, torch.stack(style)
