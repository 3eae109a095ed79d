"""How far a path is from the truth where the truth is known."""

from typing import ClassVar

from attrs import field, frozen

from repro.spec.fields import above, between, count, positive
from repro.spec.probes.of_checkpoints import OfCheckpoints
from repro.spec.sample import Sampler


@frozen(kw_only=True)
class GaussianPath(OfCheckpoints):
    """A path on Gaussian data in two scales, with their exact denoiser: no network, no chance.

    The fine scale is a row of `pixels` pixels of deviation `std` with `correlation` between
    neighbours; the coarse one their means over `factor` pixels, repeated. The sampler starts from
    normal noise times the root of 1 + sigma^2.
    """

    kind: ClassVar = "gaussian-path"
    asks_network: ClassVar = False

    sampler: Sampler
    std: float = positive(default=0.5)
    correlation: float = field(default=0.9, validator=[above(-1), between(-1, 1)])
    pixels: int = count(default=8, most=256)
    factor: int = count(default=4, most=256)
