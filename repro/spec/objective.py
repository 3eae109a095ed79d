"""What training minimizes."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from attrs import Factory, field, frozen

from repro.spec.fields import (
    above,
    added,
    count,
    fraction,
    non_negative,
    not_empty,
    number,
    positive,
    several,
)
from repro.spec.reals import NearestPositives, NoQueue, Queue


@frozen(kw_only=True)
class FixedAlpha:
    """One guidance scale for every class and step."""

    kind: ClassVar = "fixed"

    value: float = number(default=1.0, least=1)


@frozen(kw_only=True)
class PowerLawAlpha:
    """alpha ~ alpha^-exponent on [low, high]; with probability `point_mass` it is `low`."""

    kind: ClassVar = "power-law"

    exponent: float = number(default=3.0)
    low: float = number(default=1.0, least=1)
    high: float = number(default=4.0, least=1)
    point_mass: float = fraction(default=0.0)


Alpha = FixedAlpha | PowerLawAlpha
Rule = Literal["official", "algorithm-2"]
Coupling = Literal["joint", "separate"]

AFFINITY_FLOORS: Mapping[Rule, float] = {"official": 1e-6, "algorithm-2": 0.0}
"""The lower bound of affinities in the released code; Algorithm 2 as printed has none."""


@frozen(kw_only=True)
class Drifting:
    """Stop-gradient regression on the drift field (Deng et al. 2026, arXiv 2602.04770).

    Every step draws `num_classes_per_step` classes and for each `num_generated` samples (N),
    `num_positive` reals of the class (P) and `num_unconditional` reals of any class (U).
    `features` names the spaces in which samples drift: what the network puts out (`pixels`, for
    points their coordinates) and the stages of the frozen encoder. `rule` is the authors' released
    code (`official`, with distances and drifts normalized over the batch) or the paper's
    Algorithm 2 on raw distances. `affinity_floor` bounds the product of the two softmaxes from
    below; left out, it is the rule's own: 1e-6, and 0 in Algorithm 2. `coupling` says whether the
    softmax over targets runs over positives and negatives together. Reals come from the whole
    data set or from a `queue`; with `nearest_positives` a class has more candidates than positives.
    """

    kind: ClassVar = "drifting"

    rule: Rule = "official"
    temperatures: tuple[float, ...] = several(above(0), default=(0.02, 0.05, 0.2))
    features: tuple[Literal["pixels", "encoder"], ...] = field(
        default=("pixels",), validator=not_empty
    )
    num_classes_per_step: int = count(default=10, rehearsal=2)
    num_generated: int = count(default=32, rehearsal=4, least=2)
    num_positive: int = count(default=32, rehearsal=4)
    num_unconditional: int = count(default=8, rehearsal=2, least=0)
    alpha: Alpha = PowerLawAlpha()
    coupling: Coupling = "joint"
    affinity_floor: float = non_negative(
        default=Factory(lambda self: AFFINITY_FLOORS[self.rule], takes_self=True)
    )
    queue: Queue = added(NoQueue())
    nearest_positives: NearestPositives | None = added(None)


def num_candidates(drifting: Drifting) -> int:
    """How many reals of a class a step draws: its positives, or those that they are chosen from."""
    chosen_from = drifting.nearest_positives
    return chosen_from.num_candidates if chosen_from else drifting.num_positive


@frozen(kw_only=True)
class LinearSchedule:
    """beta rises linearly (Ho et al. 2020)."""

    kind: ClassVar = "linear"

    num_levels: int = count(default=1000, least=2)
    beta_start: float = positive(default=1e-4)
    beta_end: float = positive(default=2e-2)


@frozen(kw_only=True)
class CosineSchedule:
    """The squared-cosine schedule (Nichol & Dhariwal 2021, eq. 17)."""

    kind: ClassVar = "cosine"

    num_levels: int = count(default=1000, least=2)


NoiseSchedule = LinearSchedule | CosineSchedule


@frozen(kw_only=True)
class Denoise:
    """Squared error of a noise prediction, uniform over levels (Ho et al. 2020, eq. 14)."""

    kind: ClassVar = "denoise"

    prediction: Literal["epsilon", "v", "sample"] = "epsilon"
    schedule: NoiseSchedule = LinearSchedule()
    batch_size: int = count(default=64, rehearsal=4)


Objective = Drifting | Denoise
