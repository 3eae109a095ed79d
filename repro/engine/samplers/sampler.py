"""What a denoising sampler is given."""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from repro.spec.objective import Denoise

Predict = Callable[[Tensor, int], Tensor]
"""The network's output for the noised images z [B, C, H, W], all at one level."""

Draw = Callable[[], Tensor]
"""Standard normal noise in the shape of z; each image draws from its own generator."""


class DenoisingSampler(Protocol):
    """Takes pure noise to images; *process* says what the network predicts, and of which noise."""

    def __call__(
        self, spec: Any, predict: Predict, z: Tensor, *, process: Denoise, draw: Draw
    ) -> Tensor: ...
