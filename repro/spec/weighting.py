"""How much each noise level counts in the loss of a denoiser."""

from typing import ClassVar

from attrs import frozen

from repro.spec.fields import positive


@frozen(kw_only=True)
class UniformWeighting:
    """Squared errors of what the network predicts, all levels alike (Ho et al. 2020, eq. 14)."""

    kind: ClassVar = "uniform"


@frozen(kw_only=True)
class MinSnr:
    """Squared errors of the image, each times min(SNR, gamma) (Hang et al. 2023, arXiv 2303.09556).

    On the error of what the network predicts that is min(SNR, gamma) / SNR for epsilon and
    min(SNR, gamma) / (SNR + 1) for v. With `normalized` the weights of a batch are divided by
    their mean, so that the size of a step does not depend on gamma.
    """

    kind: ClassVar = "min-snr"

    gamma: float = positive(default=5.0)
    normalized: bool = False


Weighting = UniformWeighting | MinSnr
