"""How the objective is minimized. A step is one optimizer update."""

import math
from typing import ClassVar

from attrs import field, frozen

from repro.spec.fields import (
    MAX_STEPS,
    above,
    count,
    each,
    fraction,
    non_negative,
    part_of_one,
    positive,
    random_seed,
)


@frozen(kw_only=True)
class ConstantLr:
    """Linear warm-up from zero over `warmup_steps` updates, then constant."""

    kind: ClassVar = "constant"

    warmup_steps: int = count(default=0, rehearsal=1, least=0, most=MAX_STEPS)


@frozen(kw_only=True)
class CosineLr:
    """Linear warm-up, then half a cosine down to `final_ratio` of the peak at the last update."""

    kind: ClassVar = "cosine"

    warmup_steps: int = count(default=0, rehearsal=1, least=0, most=MAX_STEPS)
    final_ratio: float = fraction(default=0.0)


@frozen(kw_only=True)
class ImageRampLr:
    """Linear warm-up from zero over `images` training images, then constant (Karras et al. 2022).

    The first update has seen none, so its rate is 0. For objectives that count their images.
    """

    kind: ClassVar = "image-ramp"

    images: int = count(default=10_000_000, rehearsal=8, most=MAX_STEPS)


LrSchedule = ConstantLr | CosineLr | ImageRampLr


@frozen(kw_only=True)
class ConstantEma:
    """shadow <- decay shadow + (1 - decay) weights after every update."""

    kind: ClassVar = "constant"

    decay: float = fraction(default=0.999)


@frozen(kw_only=True)
class WarmupEma:
    """Decay min(decay, (1 + n) / (10 + n)) after n + 1 updates (TensorFlow, diffusers)."""

    kind: ClassVar = "warmup"

    decay: float = fraction(default=0.999)


@frozen(kw_only=True)
class HalfLifeEma:
    """Weights count half as much after min(`images`, `ramp` times those seen so far) images more.

    The first update copies the weights (Karras et al. 2022). For objectives that count their
    images.
    """

    kind: ClassVar = "half-life"

    images: int = count(default=500_000, most=MAX_STEPS)
    ramp: float = positive(default=0.05)


EmaLaw = ConstantEma | WarmupEma | HalfLifeEma


@frozen(kw_only=True)
class Train:
    """AdamW, one loop for every objective."""

    steps: int = count(rehearsal=4, most=MAX_STEPS)
    seed: int = random_seed()
    lr: float = positive()
    lr_schedule: LrSchedule = ConstantLr()
    betas: tuple[float, float] = field(default=(0.9, 0.999), validator=each(part_of_one))
    eps: float = positive(default=1e-8)
    weight_decay: float = non_negative(default=0.0)
    accumulate: int = count(default=1, rehearsal=2)
    clip_norm: float = field(default=math.inf, validator=above(0))
    ema: EmaLaw = ConstantEma()
    checkpoint_every: int = count(default=1000, rehearsal=2, most=MAX_STEPS)
    initial_checkpoint: bool = False


def num_checkpoints(train: Train) -> int:
    """How many checkpoints a training from its beginning leaves."""
    return int(train.initial_checkpoint) + -(-train.steps // train.checkpoint_every)


def checkpoint_steps(train: Train, *, first: int = 0) -> tuple[int, ...]:
    """The updates after which a checkpoint exists; *first* were done when the training began."""
    initial = (first,) if train.initial_checkpoint else ()
    every = train.checkpoint_every
    between = range((first // every + 1) * every, train.steps, every)
    return (*initial, *between, train.steps)
