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
    text,
)


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


@frozen(kw_only=True)
class NoQueue:
    """Reals are drawn from the whole data set, for distinct classes.

    They are all different while the class, or the data set, holds enough.
    """

    kind: ClassVar = "none"


@frozen(kw_only=True)
class Banks:
    """Reals are drawn from ring buffers of the newest ones (Deng et al. 2026, appendix A.8).

    Every step pushes `pushes_per_step` examples, the next of the data in random order, into the
    bank of their class, of `class_size`, and into one of `global_size` for unconditional reals.
    The step's classes are those of random examples just pushed (`labels` is `pushed`, as in the
    released code: a class may come twice) or `distinct` ones of those held. `prefilled` banks are
    full before the first step; the released code starts with empty ones. Draws are all different;
    where a bank holds too few, that is an `error`, or the draw is `with-replacement` and counted.
    """

    kind: ClassVar = "banks"

    class_size: int = count(default=128, rehearsal=8)
    global_size: int = count(default=1000, rehearsal=32)
    pushes_per_step: int = count(default=64, rehearsal=8)
    prefilled: bool = True
    labels: Literal["pushed", "distinct"] = "pushed"
    underflow: Literal["error", "with-replacement"] = "error"


Queue = NoQueue | Banks


@frozen(kw_only=True)
class NearestPositives:
    """Of `num_candidates` reals of a class, those nearest to what was generated of it.

    A candidate is as near as its nearest generated sample, by the Euclidean distance of the
    vectors under the key `feature`. The last `num_random` positives are taken from the other
    candidates, whatever their distance (an ablation of the port `yhsure/drifting-models-pytorch`
    took 48 of 128, and 16 at random).
    """

    num_candidates: int = count(default=128, rehearsal=8)
    num_random: int = count(default=0, rehearsal=1, least=0)
    feature: str = text(".+", default="pixels")
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
