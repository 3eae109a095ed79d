"""From the path of a spec to its table of noise levels."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from repro.engine.paths.grid import Grid, Levels
from repro.errors import RunError
from repro.spec.path import (
    Arctan,
    CoarseToFine,
    Lead,
    LeadEach,
    MatchedLead,
    MultiOffset,
    Path,
    Ratio,
    Sync,
    Tabulated,
    Truncated,
)

THREE = 3


def table(path: Path, grid: Grid, *, num_scales: int) -> Levels:
    """The levels [steps, scales] of *path*, the finest scale first; 0 comes after the last row.

    Raises:
        RunError: when the path is not for as many scales or steps, or a scale would go back to
            more noise.
    """
    build = TABLES.get(type(path))
    if build is None:
        msg = f"path {path.kind}: its levels are not known before its heatmap is measured"
        raise RunError(msg)
    return checked(build(path, grid, num_scales), kind=path.kind, grid=grid, num_scales=num_scales)


def checked(levels: Levels, *, kind: str, grid: Grid, num_scales: int) -> Levels:
    """*levels* if they are a path.

    Raises:
        RunError: when they are not.
    """
    if levels.shape != (grid.steps, num_scales):
        msg = (
            f"path {kind}: expected {grid.steps} steps of {num_scales} scales, got "
            f"{' x '.join(map(str, levels.shape))}"
        )
        raise RunError(msg)
    if not (levels > 0).all() or (np.diff(levels, axis=0) > 0).any():
        msg = f"path {kind}: expected levels above 0 that never rise, got {levels.tolist()}"
        raise RunError(msg)
    return levels


def last_visited(levels: Levels) -> list[float]:
    """The last level of each scale: above `sigma_min` where a path cuts its scale off."""
    last: list[float] = levels[-1].tolist()
    return last


def _alike(levels: Levels, num_scales: int) -> Levels:
    return np.repeat(levels[:, None], num_scales, axis=1)


def _led(finest: Levels, coarse: Levels, num_scales: int) -> Levels:
    """One column for the finest scale, and another for every coarse one."""
    return np.stack([finest, *[coarse] * (num_scales - 1)], axis=1)


def _lead(path: Lead, grid: Grid, num_scales: int) -> Levels:
    longer = grid.of(grid.steps + path.ahead)
    return _led(longer[: grid.steps], longer[path.ahead :], num_scales)


def _truncated(path: Truncated, grid: Grid, num_scales: int) -> Levels:
    return _alike(grid.of(grid.steps + path.ahead)[: grid.steps], num_scales)


def _matched_lead(path: MatchedLead, grid: Grid, num_scales: int) -> Levels:
    levels = grid.of(grid.steps)
    ahead = np.minimum(np.arange(grid.steps) + path.ahead, grid.steps - 1)
    return _led(levels, levels[ahead], num_scales)


def _lead_each(path: LeadEach, grid: Grid, num_scales: int) -> Levels:
    if len(path.ahead) != num_scales - 1:
        msg = f"path lead-each: expected {num_scales - 1} entries in `ahead`, one a coarse scale"
        raise RunError(f"{msg}, got {len(path.ahead)}")
    longer = grid.of(grid.steps + max(path.ahead))
    return np.stack([longer[first : first + grid.steps] for first in (0, *path.ahead)], axis=1)


def _ratio(path: Ratio, grid: Grid, num_scales: int) -> Levels:
    places = np.arange(grid.steps) / (grid.steps - 1)
    faster = np.minimum(1.0, path.ratio * np.arange(grid.steps) / (grid.steps - 1))
    return _led(grid.at(places), grid.at(faster), num_scales)


def _coarse_to_fine(path: CoarseToFine, grid: Grid, num_scales: int) -> Levels:
    if num_scales != THREE:
        msg = f"path {path.kind}: expected three scales, got {num_scales}"
        raise RunError(msg)
    coarsest = grid.steps // 3
    middle = (grid.steps - coarsest) // 2
    before = (coarsest + middle, coarsest, 0)
    long = (grid.steps - coarsest - middle, middle, coarsest)
    columns = [
        np.concatenate(
            [
                np.full(first, grid.sigma_max),
                grid.of(own),
                np.full(grid.steps - first - own, grid.sigma_min),
            ]
        )
        for first, own in zip(before, long, strict=True)
    ]
    return np.stack(columns, axis=1)


def _multi_offset(path: MultiOffset, grid: Grid, num_scales: int) -> Levels:
    if len(path.shares) != num_scales:
        msg = f"path multi-offset: expected {num_scales} entries in `shares`, one a scale"
        raise RunError(f"{msg}, got {len(path.shares)}")
    columns = []
    for share in path.shares:
        first = min(int(share * grid.steps), grid.steps - 1)
        columns.append(
            np.concatenate([np.full(first, grid.sigma_max), grid.of(grid.steps - first)])
        )
    return np.stack(columns, axis=1)


def _arctan(path: Arctan, grid: Grid, num_scales: int) -> Levels:
    first, last = (np.arctan(each / path.scale) for each in (grid.sigma_max, grid.sigma_min))
    levels = path.scale * np.tan(np.linspace(first, last, grid.steps))
    levels[0], levels[-1] = grid.sigma_max, grid.sigma_min
    return _alike(levels, num_scales)


TABLES: Mapping[type, Callable[[Any, Grid, int], Levels]] = {
    Sync: lambda _, grid, num_scales: _alike(grid.of(grid.steps), num_scales),
    Lead: _lead,
    Truncated: _truncated,
    MatchedLead: _matched_lead,
    LeadEach: _lead_each,
    Ratio: _ratio,
    CoarseToFine: _coarse_to_fine,
    MultiOffset: _multi_offset,
    Arctan: _arctan,
    Tabulated: lambda path, grid, num_scales: np.array(path.sigmas),
}
