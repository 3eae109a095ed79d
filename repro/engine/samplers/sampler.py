"""What a sampler is given: the seam between the job of sampling and the families of models.

A sampler is the function that `builders` names for its kind. It gets its own spec, the network
(whose calls are counted), the batch to fill, and the spec of the objective, which says what the
network was trained to put out. It alone knows how the network is called; the job that runs it knows
only that images come out.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from repro.spec.objective import Denoise

Network = Callable[..., Tensor]
"""A trained network, on its device, in the mode of use; every call is counted."""


class Batch(Protocol):
    """What makes the samples of a batch differ; sample i draws from its own generator only."""

    @property
    def labels(self) -> Tensor:
        """The class of each sample, int64 [B], on the network's device."""

    def start(self) -> Sequence[Tensor]:
        """What a generator starts from: noise [B, ...], and style indices if it takes any."""

    def noise(self, shape: Sequence[int] | None = None) -> Tensor:
        """Fresh standard normal noise [B, *shape], by default of the shape of a sample."""


class Sampler(Protocol):
    """Fills a batch: images or latents [B, C, H, W], whichever the training's data are."""

    def __call__(self, spec: Any, network: Network, batch: Batch, *, objective: Any) -> Tensor: ...


Predict = Callable[[Tensor, int], Tensor]
"""The network's output for the noised images z [B, C, H, W], all at one level."""

Draw = Callable[[], Tensor]
"""Standard normal noise in the shape of z; each image draws from its own generator."""


class DenoisingSampler(Protocol):
    """Takes pure noise to images; *process* says what the network predicts, and of which noise."""

    def __call__(
        self, spec: Any, predict: Predict, z: Tensor, *, process: Denoise, draw: Draw
    ) -> Tensor: ...
