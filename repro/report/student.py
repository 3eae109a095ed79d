"""Student's t, for errors that are estimated from a few trainings."""

import math

STEPS = 2000
"""Intervals of Simpson's rule: a dozen digits for two degrees of freedom or more."""

HALVINGS = 60


def quantile(tail: float, *, freedom: float) -> float:
    """What a t-distributed number exceeds with probability *tail* (below one half).

    *freedom*, the degrees of freedom, is at least 1 and need not be whole.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        angle = (low + high) / 2
        low, high = (angle, high) if _upper_tail(angle, freedom) > tail else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def welch_freedom(sds: tuple[float, float], counts: tuple[int, int]) -> float:
    """Degrees of freedom of a difference of two means (Welch 1947), from sd and count of each.

    Without any spread it is what equal spreads would give.
    """
    parts = [sd**2 / count for sd, count in zip(sds, counts, strict=True)]
    below = sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    return sum(parts) ** 2 / below if below else float(sum(counts) - 2)


def _upper_tail(angle: float, freedom: float) -> float:
    """P(T > sqrt(freedom) tan(angle)): the density in the angle is cos(angle)^(freedom - 1)."""
    width = (math.pi / 2 - angle) / STEPS
    heights = [math.cos(angle + index * width) ** (freedom - 1) for index in range(STEPS)]
    heights.append(0.0 if freedom > 1 else 1.0)  # the cosine of a rounded right angle may be < 0
    area = heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi) / 2
    return float(math.exp(scale) * area * width / 3)
