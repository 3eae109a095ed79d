"""What training minimizes."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from attrs import Factory, field, frozen

from repro.spec.edm import Edm
from repro.spec.fields import (
    MAX_SIDE,
    MAX_STEPS,
    above,
    added,
    at_least,
    between,
    count,
    each,
    finite,
    fraction,
    not_empty,
    number,
    part_of_one,
    positive,
    several,
)
from repro.spec.kl import KlAutoencoding
from repro.spec.reals import NearestPositives, NoQueue, Queue
from repro.spec.weighting import UniformWeighting, Weighting


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


@frozen(kw_only=True)
class TableAlpha:
    """Guidance scale `values[i]` with probability `probabilities[i]`; these sum to one."""

    kind: ClassVar = "table"

    values: tuple[float, ...] = field(validator=[not_empty, each(finite), each(at_least(1))])
    probabilities: tuple[float, ...] = several(between(0, 1))


Alpha = FixedAlpha | PowerLawAlpha | TableAlpha
Rule = Literal["official", "algorithm-2"]
Kernel = Literal["laplace", "gaussian"]
Coupling = Literal["joint", "separate"]
NormalizedOver = Literal["both", "targets", "none"]
WeightsEnter = Literal["affinity", "logits"]
StatisticsOf = Literal["batch", "class"]
OverLocations = Literal["mean", "sum"]

AFFINITY_FLOORS: Mapping[Rule, float] = {"official": 1e-6, "algorithm-2": 0.0}
"""The lower bound of squared affinities in the released code; Algorithm 2 as printed has none."""


LEAST_TEMPERATURE, MOST_TEMPERATURE = 1e-12, 1e12
"""Beyond them, far from any use, a distance over a temperature is no number of single precision."""


@frozen(kw_only=True)
class DriftField:
    """How generated vectors drift (Deng et al. 2026, arXiv 2602.04770).

    The defaults are what the paper's authors released. An affinity is a kernel of a distance d, at
    every temperature T: exp(-d/T) (`laplace`) or exp(-(d/T)^2 / 2) (`gaussian`), normalized over
    the targets and over the generated vectors, of which the geometric mean is taken (`both`), over
    the `targets` alone, or not at all (`none`).

    `rule` is the released code (`official`: distances divided by their mean, the drift of every
    temperature by its root mean square) or the paper's Algorithm 2 on raw distances. `coupling`
    says whether the softmax over targets runs over positives and negatives together.
    `affinity_floor` bounds the square of an affinity from below, under `both` the product of the
    two softmaxes; left out, it is the rule's own: 1e-6, and 0 in Algorithm 2.

    The weight w of an unconditional negative multiplies its affinities, where it equals w copies
    (`weights_enter` is `affinity`), or is added to its `logits` as log w, where it acts as sqrt(w)
    under `both`. `attraction` and `repulsion` are factors of V+ and V-. `statistics` are taken over
    the whole `batch`, all processes included, or over the rows of each `class`.
    """

    rule: Rule = "official"
    temperatures: tuple[float, ...] = field(
        default=(0.02, 0.05, 0.2),
        validator=[not_empty, each(above(0)), each(between(LEAST_TEMPERATURE, MOST_TEMPERATURE))],
    )
    coupling: Coupling = "joint"
    affinity_floor: float = fraction(
        default=Factory(lambda self: AFFINITY_FLOORS[self.rule], takes_self=True)
    )
    kernel: Kernel = added("laplace")
    normalized_over: NormalizedOver = added("both")
    weights_enter: WeightsEnter = added("affinity")
    attraction: float = added(1.0, validator=[finite, at_least(0)])
    repulsion: float = added(1.0, validator=[finite, at_least(0)])
    statistics: StatisticsOf = added("batch")


@frozen(kw_only=True)
class Drifting(DriftField):
    """Stop-gradient regression on the drift field (Deng et al. 2026, arXiv 2602.04770).

    Every step draws `num_classes_per_step` classes and for each `num_generated` samples (N),
    `num_positive` reals of the class (P) and `num_unconditional` reals of any class (U).
    `features` names the spaces in which samples drift: what the network puts out (`pixels`, for
    points their coordinates) and the stages of the frozen encoder. The loss of a feature is a
    `mean` over its locations, or their `sum` (`over_locations`); features are summed. Reals come
    from the whole data set or from a `queue`; with `nearest_positives` a class has more candidates
    than positives. `pixels_rule` is another rule for the key `pixels` than that of the encoder's.

    All reals are whole images. The released code crops those of its pixel models, which the paper
    does not say: to a random part of at least `least_area`, as large again (there 0.2). With `flip`
    each is mirrored with probability 1/2. Latents and points are taken as they are.
    """

    kind: ClassVar = "drifting"

    features: tuple[Literal["pixels", "encoder"], ...] = field(
        default=("pixels",), validator=not_empty
    )
    num_classes_per_step: int = count(default=10, rehearsal=2)
    num_generated: int = count(default=32, rehearsal=4, least=2)
    num_positive: int = count(default=32, rehearsal=4)
    num_unconditional: int = count(default=8, rehearsal=2, least=0)
    alpha: Alpha = PowerLawAlpha()
    over_locations: OverLocations = added("mean")
    queue: Queue = added(NoQueue())
    nearest_positives: NearestPositives | None = added(None)
    pixels_rule: Rule | None = added(None)
    least_area: float = added(1.0, validator=[above(0), between(0, 1)])
    flip: bool = added(default=False)


def num_candidates(drifting: Drifting) -> int:
    """How many reals of a class a step draws: its positives, or those that they are chosen from."""
    chosen_from = drifting.nearest_positives
    return chosen_from.num_candidates if chosen_from else drifting.num_positive


REHEARSED_LEVELS = 20
"""Enough for a sampler that visits every level to be rehearsed."""


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

    num_levels: int = count(default=1000, rehearsal=REHEARSED_LEVELS, least=2)


NoiseSchedule = LinearSchedule | CosineSchedule


@frozen(kw_only=True)
class Denoise:
    """Squared error of a prediction at a uniformly drawn level (Ho et al. 2020, eq. 14).

    `weighting` says what each level counts. A network that takes labels is told each image's own,
    or with probability `condition_dropout` that there is none; only then can it be guided (Ho &
    Salimans 2022).
    """

    kind: ClassVar = "denoise"

    prediction: Literal["epsilon", "v", "sample"] = "epsilon"
    schedule: NoiseSchedule = LinearSchedule()
    batch_size: int = count(default=64, rehearsal=4)
    weighting: Weighting = added(UniformWeighting())
    condition_dropout: float = added(0.0, validator=between(0, 1))


@frozen(kw_only=True)
class ClassifierTuning:
    """The end of a training in which the encoder also learns to classify what it sees.

    From `first_step` updates on, the loss is (1 - w) times the reconstruction error plus w times
    the cross-entropy of the masked images' classes; w rises linearly to `weight` over `ramp_steps`.
    """

    first_step: int = count(rehearsal=2, least=0, most=MAX_STEPS)
    weight: float = fraction(default=0.1)
    ramp_steps: int = count(default=1000, rehearsal=1, most=MAX_STEPS)


@frozen(kw_only=True)
class MaskedAutoencoding:
    """Squared error of what was hidden of an image (Deng et al. 2026, appendix A.3).

    Each patch of `mask_patch` x `mask_patch` inputs of the network is hidden with probability
    `mask_ratio`; the error is summed over channels and averaged over the hidden places. Before
    that, images are cropped to a random part of at least `least_area` (1: the whole image), as
    large again, and mirrored with probability 1/2 if `flip`. Latents are taken as they were
    encoded: `least_area` is 1, `flip` is off, and any view of an image (`data.flips`) is drawn.
    """

    kind: ClassVar = "masked-autoencoding"

    mask_ratio: float = field(default=0.5, validator=[above(0), part_of_one])
    mask_patch: int = count(default=2, most=MAX_SIDE)
    batch_size: int = count(default=256, rehearsal=4)
    least_area: float = field(default=0.2, validator=[above(0), between(0, 1)])
    flip: bool = True
    classify: ClassifierTuning | None = None


Objective = Drifting | Denoise | MaskedAutoencoding | Edm | KlAutoencoding
