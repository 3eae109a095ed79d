"""The U-Net of the study E7, for parity with what it published."""

from typing import ClassVar, Literal

from attrs import frozen

from repro.spec.fields import fraction, multiple

SIDE_DIVISOR = 8
"""Three halvings: the sides of an image must be multiples of this."""


@frozen(kw_only=True)
class UNetCifar32:
    """The small U-Net without attention that the study E7 trained on CIFAR-10.

    Four resolutions of `base_channels` times 1, 2, 2 and 2, two residual blocks each way at the
    finer three, one at the coarsest; 32 groups in every normalization. Its time embedding has
    frequencies from 1 *up* to 10,000 radians a level (`inverted`), so that neighbouring levels look
    unrelated; `standard` has them from 1 down to 1/10,000.
    """

    kind: ClassVar = "unet-cifar32"

    base_channels: int = multiple(32, default=32, rehearsal=32)
    time_embedding: Literal["standard", "inverted"] = "standard"
    dropout: float = fraction(default=0.1)
