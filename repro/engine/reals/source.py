"""What a drifting step asks of the source of its real examples."""

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen
from torch import Generator, Tensor


@frozen(kw_only=True, eq=False)
class Drawn:
    """The reals of a step, by their numbers in the data set.

    `numbers` is int64 [classes, own + any]: in row i examples of class i alone, then examples of
    any class. `underflow` counts, by bank, the draws that found too few to be all different.
    """

    numbers: Tensor
    underflow: Mapping[str, float] = field(factory=dict)


class Reals(Protocol):
    """Real examples by class; a step asks for its labels once, then once for their examples."""

    def next_labels(self, num: int, *, generator: Generator) -> Tensor:
        """The classes [num] of the next step."""
        ...

    def draw(self, labels: Tensor, *, num_own: int, num_any: int, generator: Generator) -> Drawn:
        """For each label *num_own* examples of its class and *num_any* of any class."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """The tensors that change from step to step, in place."""
        ...
