"""The batch that a sampler fills with images."""

from collections.abc import Sequence

from attrs import frozen
from torch import Generator, Tensor

from repro.engine.randomness import Randomness, draw_each
from repro.engine.seeds import normal


@frozen(kw_only=True, eq=False)
class ImageBatch:
    """What makes the images of one batch differ: each has its label and its own generator."""

    generators: Sequence[Generator]
    labels: Tensor
    randomness: Randomness

    def start(self) -> list[Tensor]:
        """What a generator starts from: noise, and style indices if it takes any."""
        drawn = draw_each(self.randomness, self.generators)
        return [each.to(self.labels.device) for each in drawn]

    def noise(self, shape: Sequence[int] | None = None) -> Tensor:
        """Normal noise [B, *shape], by default of the shape of what a network starts from."""
        wanted = self.randomness.noise_shape if shape is None else shape
        return normal(self.generators, wanted).to(self.labels.device)
