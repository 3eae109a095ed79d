"""Vectors of one feature map: its places, and means and deviations over the map and its patches.

The drifting paper's appendix A.5, with the constants of the authors' released code. Every function
takes a map [B, C, H, W] and gives vectors [B, L, C], one for each of L places. Means and deviations
of half precisions are computed in float32.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from repro.spec.map_keys import Statistic

EPS = 1e-6
"""Under every square root: without it the gradient of a constant channel is not a number."""


def map_vectors(
    name: str, feature_map: Tensor, statistics: Sequence[Statistic]
) -> Iterator[tuple[str, Tensor]]:
    """The keys of one map and their vectors.

    A patch size that does not divide both sides of the map gives no key.
    """
    for statistic in statistics:
        for suffix, vectors in STATISTICS[statistic](feature_map):
            yield f"{name}{suffix}", vectors


def locations(feature_map: Tensor) -> Tensor:
    """The vector [B, H x W, C] at every place, row by row."""
    return feature_map.flatten(2).transpose(1, 2)


def moments(feature_map: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased deviation [B, 1, C] over the whole map."""
    variance, mean = torch.var_mean(_single(feature_map), dim=(2, 3), correction=0)
    return mean[:, None, :], (variance + EPS).sqrt()[:, None, :]


def patch_moments(feature_map: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Mean and biased deviation [B, H/side x W/side, C] of every patch of side x side places.

    Pooling twice, the second time what is left without the mean, is as exact as a variance over a
    view of the patches, and takes a CPU a third to a quarter of its time.
    """
    x = _single(feature_map)
    mean = avg_pool2d(x, side)
    apart = x - mean.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
    variance = avg_pool2d(apart.square(), side)
    return locations(mean), locations((variance + EPS).sqrt())


def norm_x(images: Tensor) -> Tensor:
    """The root mean square [B, 1, C] of every channel of the encoder's input [B, C, H, W]."""
    return (_single(images).square().mean(dim=(2, 3)) + EPS).sqrt()[:, None, :]


def _single(x: Tensor) -> Tensor:
    """Half precision as float32, the others as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _locations(feature_map: Tensor) -> Iterator[tuple[str, Tensor]]:
    yield "", locations(feature_map)


def _mean_std(feature_map: Tensor) -> Iterator[tuple[str, Tensor]]:
    yield from zip(("_mean", "_std"), moments(feature_map), strict=True)


def _std(feature_map: Tensor) -> Iterator[tuple[str, Tensor]]:
    yield "_std", moments(feature_map)[1]


def _patches(side: int) -> Callable[[Tensor], Iterator[tuple[str, Tensor]]]:
    def vectors(feature_map: Tensor) -> Iterator[tuple[str, Tensor]]:
        if not (feature_map.shape[2] % side or feature_map.shape[3] % side):
            both = patch_moments(feature_map, side)
            yield from zip((f"_mean_{side}", f"_std_{side}"), both, strict=True)

    return vectors


STATISTICS: Mapping[Statistic, Callable[[Tensor], Iterator[tuple[str, Tensor]]]] = {
    "locations": _locations,
    "mean-std": _mean_std,
    "patches-2": _patches(2),
    "patches-4": _patches(4),
    "std": _std,
}
