"""Whether two numbers differ: the arithmetic of evaluation rules B2, B3 and B5.

A difference is `left - right`. It is *shown* when it reaches `needed`, which is at least `critical`
of its own standard errors; nothing may be said of one that is not.
"""

import math
import statistics
from collections.abc import Sequence

from attrs import frozen

from repro.report import student

TWO_SIDED_TAIL = 0.025
MIN_TRAINING_SEEDS = 3
RETRAINING_SHARE = 0.013
"""Smaller differences between methods drown in retraining (arXiv 2606.20536)."""


@frozen(kw_only=True)
class Difference:
    """`left - right`, the kind and size of its standard error, and what it must reach."""

    value: float
    se: float
    se_kind: str
    critical: float
    needed: float

    @property
    def shown(self) -> bool:
        """Whether the difference stands out of its noise."""
        return self.value != 0 and abs(self.value) >= self.needed

    @property
    def z(self) -> float:
        """How many standard errors the difference is from zero."""
        if self.se == 0:
            return 0.0 if self.value == 0 else math.inf
        return abs(self.value) / self.se


def critical_z(candidates: int) -> float:
    """Two-sided 5 % over all pairs of the candidates (Bonferroni): 1.96 for two, 2.81 for five."""
    return statistics.NormalDist().inv_cdf(1 - _tail(candidates))


def of(value: float, se: float, *, se_kind: str, candidates: int = 2) -> Difference:
    """A difference of two values, or of a value and a number, with its standard error."""
    critical = critical_z(candidates)
    return Difference(value=value, se=se, se_kind=se_kind, critical=critical, needed=critical * se)


def between_methods(
    left: Sequence[float], right: Sequence[float], *, candidates: int = 2
) -> Difference:
    """The difference of two methods, from one value a training seed (rule B5).

    It must reach both its noise over training seeds and 1.3 % of the smaller mean. The noise is
    estimated from a few seeds, so the margin is Student's (Welch): 2.78 for three on each side.
    """
    means = statistics.fmean(left), statistics.fmean(right)
    sds, counts = (statistics.stdev(left), statistics.stdev(right)), (len(left), len(right))
    se = math.hypot(*(sd / math.sqrt(count) for sd, count in zip(sds, counts, strict=True)))
    freedom = student.welch_freedom(sds, counts)
    critical = student.quantile(_tail(candidates), freedom=freedom)
    return Difference(
        value=means[0] - means[1],
        se=se,
        se_kind="over training seeds",
        critical=critical,
        needed=max(critical * se, RETRAINING_SHARE * min(abs(mean) for mean in means)),
    )


def _tail(candidates: int) -> float:
    """The share of each tail that one of all pairs of the candidates may take."""
    return TWO_SIDED_TAIL / max(1, candidates * (candidates - 1) // 2)
