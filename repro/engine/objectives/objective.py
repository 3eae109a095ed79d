"""What the training loop asks of an objective."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from attrs import field, frozen
from torch import Generator, Tensor, nn


@frozen(kw_only=True)
class LossOut:
    """What one micro-batch gives.

    `loss` is a scalar with a gradient. `values` are the numbers worth watching beside it (for
    drifting the energy at each temperature); the loop averages them over the micro-batches of a
    step.
    """

    loss: Tensor
    values: Mapping[str, float] = field(factory=dict)


class Objective(Protocol):
    """A loss that owns its data; what else it keeps from call to call it tells as `Stateful`.

    Everything random comes from *generator* (on the CPU), which the loop derives from the training
    seed, *step* and *micro*: which examples, which noise. *step* counts the updates done before
    this one, *micro* the micro-batches before this one within the step. Dropout draws from torch's
    own stream, which the loop sets from the same three numbers around every call.
    """

    def loss(
        self, network: nn.Module, *, step: int, micro: int, generator: Generator
    ) -> LossOut: ...


@runtime_checkable
class CountsImages(Protocol):
    """An objective of which laws may be stated in images: rates, averages."""

    @property
    def num_images(self) -> int:
        """How many images a micro-batch shows the network."""


@runtime_checkable
class Stateful(Protocol):
    """An objective whose losses depend on those before: a resumed training needs its state.

    `state` gives the same tensors at every call, always of the same shapes. A loss changes them in
    place; so does the restoring of a checkpoint, before the first loss.
    """

    def state(self) -> Mapping[str, Tensor]: ...


@runtime_checkable
class Shows(Protocol):
    """An objective of which a person should watch other numbers than the loss."""

    def shown(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """Of the *values* of an update those that mean something, each by a short name."""
