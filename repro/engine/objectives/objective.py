"""What the training loop asks of an objective."""

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen
from torch import Generator, Tensor, nn


@frozen(kw_only=True)
class LossOut:
    """What one micro-batch gives.

    `loss` is a scalar with a gradient. `values` are the numbers worth watching beside it (for
    drifting the energy at each temperature); the loop averages them over the micro-batches of a
    step, so they cost nothing unless they are read.
    """

    loss: Tensor
    values: Mapping[str, Tensor] = field(factory=dict)


class Objective(Protocol):
    """A loss that owns its data and holds no state that a resumed training would miss.

    The loop derives *generator* (on the CPU) from the training seed, *step* and *micro*, and
    everything random comes from it: which examples, which noise, which dropout. *step* counts the
    updates done before this one, *micro* the micro-batches before this one within the step.
    """

    def loss(
        self, network: nn.Module, *, step: int, micro: int, generator: Generator
    ) -> LossOut: ...
