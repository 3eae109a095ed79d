"""Which vectors of a network's maps samples are compared by."""

from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen

from repro.spec.fields import each, matching, not_empty

Statistic = Literal["locations", "mean-std", "patches-2", "patches-4", "std"]
STATISTICS: tuple[Statistic, ...] = ("locations", "mean-std", "patches-2", "patches-4")
"""Those of the drifting paper."""

SUFFIXES: Mapping[Statistic, tuple[str, ...]] = {
    "locations": ("",),
    "mean-std": ("_mean", "_std"),
    "patches-2": ("_mean_2", "_std_2"),
    "patches-4": ("_mean_4", "_std_4"),
    "std": ("_std",),
}
"""What the keys of a statistic add to the name of their map."""


@frozen(kw_only=True)
class MapKeys:
    """Which vectors of which maps samples are compared by; no `taps` are all maps of the network.

    `locations` are the vectors at every place of a map, `mean-std` two vectors over the whole map,
    `patches-2` and `patches-4` means and deviations over patches of 2 x 2 and 4 x 4 places, where
    these divide the map (Deng et al. 2026, appendix A.5, (a) to (d)). `std` is the second of the
    two vectors alone.
    """

    taps: tuple[str, ...] = field(default=(), validator=each(matching(".+")))
    statistics: tuple[Statistic, ...] = field(default=STATISTICS, validator=not_empty)
