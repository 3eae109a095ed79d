"""The way of a multi-scale sampler through the noise: a level for every step and scale.

A path becomes a table [steps, scales] of noise-to-signal ratios, the finest scale first; after its
last row comes 0. `rho(n)` are the n levels of Karras et al. (2022, eq. 5) from `sigma_max` to
`sigma_min` of the sampler.
"""

from typing import Any, ClassVar, Literal

from attrs import field, frozen

from repro.spec.fields import (
    above,
    at_least,
    count,
    each,
    finite,
    not_empty,
    number,
    positive,
    text,
)

MOST_AHEAD = 1000


def _steps_ahead() -> Any:
    """By how many steps one scale goes before another."""
    return count(least=0, most=MOST_AHEAD)


@frozen(kw_only=True)
class Sync:
    """Every scale on rho(N): the path of a model without scales."""

    kind: ClassVar = "sync"


@frozen(kw_only=True)
class Lead:
    """Coarse scales `ahead` steps before the finest, on rho(N + ahead).

    The finest takes the first N levels, so it never visits the last `ahead` of them: it is also
    truncated, as `Truncated` is without leading.
    """

    kind: ClassVar = "lead"

    ahead: int = _steps_ahead()


@frozen(kw_only=True)
class Truncated:
    """Every scale on the first N levels of rho(N + ahead): what `Lead` does but lead."""

    kind: ClassVar = "trunc"

    ahead: int = _steps_ahead()


@frozen(kw_only=True)
class MatchedLead:
    """Coarse scales `ahead` steps before the finest, all on rho(N) to its end: leading alone."""

    kind: ClassVar = "matched-lead"

    ahead: int = _steps_ahead()


@frozen(kw_only=True)
class LeadEach:
    """As `Lead`, with steps of its own for every coarse scale; the finest takes the first levels.

    With K the most of `ahead`, a scale takes N levels of rho(N + K) from the entry of its own.
    """

    kind: ClassVar = "lead-each"

    ahead: tuple[int, ...] = field(validator=[not_empty, each(at_least(0))])


@frozen(kw_only=True)
class Ratio:
    """Coarse scales go down rho `ratio` times as fast, then wait at its end."""

    kind: ClassVar = "ratio"

    ratio: float = number(least=1)


@frozen(kw_only=True)
class CoarseToFine:
    """One scale after the other, the coarsest first; the others wait. For three scales.

    The coarsest has a third of the steps, the next half of the rest.
    """

    kind: ClassVar = "coarse-to-fine"


@frozen(kw_only=True)
class MultiOffset:
    """Scales start late: a scale waits for its share of the steps, then goes down rho.

    `shares` are those of the scales, the finest first.
    """

    kind: ClassVar = "multi-offset"

    shares: tuple[float, ...] = field(
        default=(0.35, 0.15, 0.0), validator=[not_empty, each(at_least(0)), each(finite)]
    )


@frozen(kw_only=True)
class Arctan:
    """Every scale on levels that are even in arctan(sigma / scale).

    For Gaussian data of deviation `scale` it minimizes a bound of the discretisation error (Sabour
    et al. 2024): a control without any measured error.
    """

    kind: ClassVar = "arctan"

    scale: float = positive(default=0.5)


Gamma = Literal["A", "B", "C", "D"]
"""Which change of variables turns a squared Jacobian into an error; S is 0.25 / sigma^2.

A is 1 / (1 + S), B is 1 / (S (1 + S)), C is S / (4 (1 + S)^2), D is 1 / (4 (1 + S)^2).
"""


@frozen(kw_only=True)
class Cheapest:
    """The cheapest way over the errors of a Jacobian heatmap, by dynamic programming.

    From both scales at `sigma_max` to both at `sigma_min` in N moves; a move takes either scale 0
    to `max_jump` levels of the heatmap further. It costs the mean error of its two ends times the
    change in ln SNR, added over the scales that `counts` names. With a `band` the scales are never
    more levels apart than that. All coarse scales go as the second does.
    """

    kind: ClassVar = "cheapest"

    heatmap: str = text(r"[a-z0-9][a-z0-9.-]*")
    gamma: Gamma = "B"
    counts: Literal["finest", "both"] = "both"
    max_jump: int = count(default=5, most=MOST_AHEAD)
    band: int | None = count(default=None, least=0, most=MOST_AHEAD)


@frozen(kw_only=True)
class Tabulated:
    """The levels themselves, a row a step, the finest scale first."""

    kind: ClassVar = "table"

    sigmas: tuple[tuple[float, ...], ...] = field(
        validator=[not_empty, each(each(above(0))), each(each(finite))]
    )


Path = (
    Sync
    | Lead
    | Truncated
    | MatchedLead
    | LeadEach
    | Ratio
    | CoarseToFine
    | MultiOffset
    | Arctan
    | Cheapest
    | Tabulated
)
