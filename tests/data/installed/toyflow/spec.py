"""What a spec may say of it; no torch."""

from typing import ClassVar

from attrs import frozen

from repro.spec.fields import count
from repro.spec.probes.of_checkpoints import OfCheckpoints


@frozen(kw_only=True)
class Squares:
    """Images of 4 x 4 with one bright quarter, which is their class."""

    kind: ClassVar = "toy-squares"

    num_images: int = count(default=64)


@frozen(kw_only=True)
class Velocity:
    """A convolution that is told time and class."""

    kind: ClassVar = "toy-velocity"

    width: int = count(default=16, rehearsal=4)


@frozen(kw_only=True)
class Flow:
    """The squared error of the velocity between image and noise."""

    kind: ClassVar = "toy-flow"

    batch_size: int = count(default=32, rehearsal=4)


@frozen(kw_only=True)
class Midpoint:
    """Two calls a step; with `halved` it stops on half of the way, and is biased."""

    kind: ClassVar = "toy-midpoint"

    steps: int = count(default=8, rehearsal=2)
    halved: bool = False
    allow_biased: bool = False


@frozen(kw_only=True)
class Uncalibrated:
    """The same, of a package that does not say whether it may be biased."""

    kind: ClassVar = "toy-uncalibrated"

    steps: int = count(default=8, rehearsal=2)
    halved: bool = False


@frozen(kw_only=True)
class Straightness(OfCheckpoints):
    """How much the velocity turns from the first to the last moment, over some images."""

    kind: ClassVar = "toy-straightness"

    num_images: int = count(default=16, rehearsal=4)
