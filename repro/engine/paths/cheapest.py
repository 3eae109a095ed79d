"""The cheapest path over measured errors, by dynamic programming.

Two axes: the levels of the finest scale, and those of the coarse ones.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from repro.engine.paths.grid import Levels
from repro.errors import RunError
from repro.spec.path import Cheapest, Gamma

SIGMA_DATA = 0.5
"""The deviation that the study's signal-to-noise ratio is relative to, whatever the data."""

Places = list[tuple[int, int]]

GAMMAS: Mapping[Gamma, Callable[[Levels], Levels]] = {
    "A": lambda snr: 1 / (1 + snr),
    "B": lambda snr: 1 / (snr * (1 + snr)),
    "C": lambda snr: snr / (4 * (1 + snr) ** 2),
    "D": lambda snr: 1 / (4 * (1 + snr) ** 2),
}


def snr_data(sigmas: Levels) -> Levels:
    """Signal-to-noise ratio for data of deviation 0.5."""
    return SIGMA_DATA**2 / sigmas**2


def errors(energies: NDArray[np.float64], sigmas: Levels, *, gamma: Gamma) -> NDArray[np.float64]:
    """Errors [G, G, 2] of the finest and the coarse scale from *energies* of the same shape.

    Entry [i, j] is of the finest scale at level i of *sigmas* [G] and the coarse ones at level j;
    the factor of a scale is that of its own level.
    """
    factor = GAMMAS[gamma](snr_data(sigmas))
    both = np.stack(np.broadcast_arrays(factor[:, None], factor[None, :]), axis=-1)
    found: NDArray[np.float64] = energies * both
    return found


def cheapest_levels(
    path: Cheapest, energies: NDArray[np.float64], sigmas: Levels, *, steps: int
) -> tuple[Levels, float]:
    """The levels [steps, 2] of the cheapest path, the first node left out, and what it costs.

    Raises:
        RunError: when no path has so many moves.
    """
    found = errors(energies, sigmas, gamma=path.gamma)
    if path.counts == "finest":
        found[..., 1] = 0
    places, cost = cheapest(
        found, np.log(snr_data(sigmas)), moves=steps, max_jump=path.max_jump, band=path.band
    )
    return sigmas[np.array(places[1:])], cost


def cheapest(
    errors: NDArray[np.float64],
    measure: Levels,
    *,
    moves: int,
    max_jump: int,
    band: int | None = None,
) -> tuple[Places, float]:
    """The cheapest way from (0, 0) to the last level of both axes in so many *moves*.

    A move takes each axis 0 to *max_jump* levels on, not both 0, and costs, over the two entries of
    *errors* [G, G, 2], the mean of its ends times the change of *measure* [G] along that axis. Of
    equally cheap ways to a node the one from the smallest place before it is taken.

    Raises:
        RunError: when there is none; nothing is widened to make one.
    """
    size = len(measure)
    paid = np.full((size, size), np.inf)
    paid[0, 0] = 0
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    allowed = apart <= (size if band is None else band)
    origins = []
    for _ in range(moves):
        paid, origin = _one_move_on(paid, errors, measure, max_jump)
        paid[~allowed] = np.inf
        origins.append(origin)
    if not np.isfinite(paid[-1, -1]):
        within = "" if band is None else f" within {band} levels of the diagonal"
        msg = (
            f"path cheapest: no way over {size} levels in {moves} moves of at most {max_jump}"
            f"{within}; raise max_jump or band, or take other steps"
        )
        raise RunError(msg)
    places = [(size - 1, size - 1)]
    for origin in reversed(origins):
        i, j = origin[places[-1]]
        places.append((int(i), int(j)))
    return places[::-1], float(paid[-1, -1])


def _one_move_on(
    paid: NDArray[np.float64], errors: NDArray[np.float64], measure: Levels, max_jump: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What every node has cost after one more move, and where that came from [G, G, 2]."""
    size = len(measure)
    best = np.full((size, size), np.inf)
    origin = np.zeros((size, size, 2), np.int64)
    jumps = range(min(max_jump, size - 1), -1, -1)  # the smallest places before a node come first
    for down, right in ((down, right) for down in jumps for right in jumps if down or right):
        here, there = np.s_[: size - down, : size - right], np.s_[down:, right:]
        means = (errors[here] + errors[there]) / 2
        along_finest = np.abs(measure[down:] - measure[: size - down])[:, None]
        along_coarse = np.abs(measure[right:] - measure[: size - right])[None, :]
        cost = paid[here] + means[..., 0] * along_finest + means[..., 1] * along_coarse
        better = cost < best[there]
        best[there] = np.where(better, cost, best[there])
        i, j = np.nonzero(better)
        origin[i + down, j + right] = np.stack([i, j], axis=-1)
    return best, origin
