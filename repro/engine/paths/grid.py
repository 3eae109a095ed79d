"""The levels between which samplers step (Karras et al. 2022, eq. 5)."""

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Levels = NDArray[np.float64]


@frozen(kw_only=True)
class Grid:
    """`steps` levels from `sigma_max` to `sigma_min`; a larger `rho` takes small steps at the end.

    Levels are noise-to-signal ratios.
    """

    steps: int
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def at(self, places: Levels) -> Levels:
        """The levels at *places* between 0 (the noisiest) and 1."""
        first, last = (each ** (1 / self.rho) for each in (self.sigma_max, self.sigma_min))
        levels: Levels = (first + places * (last - first)) ** self.rho
        return levels

    def of(self, num: int) -> Levels:
        """*num* levels; a single one is the noisiest."""
        return self.at(np.arange(num, dtype=np.float64) / max(num - 1, 1))
