"""Denoising at continuous noise levels, one for every scale of an image (Karras et al. 2022).

A noise level is a noise-to-signal ratio sigma: an image x0 becomes x0 + sigma n.
"""

from typing import ClassVar, Literal

from attrs import field, frozen

from repro.spec.fields import (
    above,
    added,
    at_least,
    count,
    each,
    fraction,
    non_negative,
    not_empty,
    number,
    positive,
    widths,
)
from repro.spec.path import Path, Sync

MAX_SCALES = 8


@frozen(kw_only=True)
class Identity:
    """The network sees images, or latents, as they are: one scale."""

    kind: ClassVar = "identity"


@frozen(kw_only=True)
class TorusPyramid:
    """An image beside coarser versions of itself, every value as a point of a circle.

    A scale is the image averaged over `factor` x `factor` pixels and enlarged again; its channels
    are the cosines, then the sines, of pi/2 times the values. The first factor is 1: what is
    decoded is the first scale.
    """

    kind: ClassVar = "torus-pyramid"

    factors: tuple[int, ...] = field(default=(1, 2, 4), validator=[not_empty, each(at_least(1))])


Codec = Identity | TorusPyramid


def num_scales(codec: Codec) -> int:
    """How many scales, each with a noise level of its own, a network sees."""
    return len(codec.factors) if isinstance(codec, TorusPyramid) else 1


@frozen(kw_only=True)
class LogNormalNoise:
    """ln sigma ~ N(mean, std^2), drawn for every scale, or once for all of them (`coupled`)."""

    mean: float = number(default=-1.2)
    std: float = positive(default=1.2)
    coupled: bool = False


@frozen(kw_only=True)
class Augmentation:
    """Changes of an image that the network is told of (Karras et al. 2022, appendix F.2).

    Each befalls an image with `probability`, by itself: up and down exchanged, a size of 2^(0.2 N)
    with N standard normal, a turn by any angle, one direction stretched by 2^(0.2 N) and the other
    squeezed by it, a shift by 0.125 N of the sides. Left and right are exchanged by a fair coin
    always. The network is told nine numbers, all 0 of an image as it was, and samples those.
    """

    probability: float = fraction(default=0.12)


@frozen(kw_only=True)
class Edm:
    """Weighted squared error of a preconditioned denoiser (Karras et al. 2022, table 1).

    The denoiser is c_skip X + c_out F(c_in X, ln(sigma)/4) with the network F, coefficients of
    every scale by its own sigma and `sigma_data`, the deviation of the data that they assume. The
    weight makes the error of F count alike at every sigma. `flip` mirrors an image with
    probability 1/2, `augment` does more and tells the network.
    """

    kind: ClassVar = "edm"

    codec: Codec = Identity()
    sigma_data: float = positive(default=0.5)
    noise: LogNormalNoise = LogNormalNoise()
    batch_size: int = count(default=64, rehearsal=4)
    flip: bool = False
    augment: Augmentation | None = added(None)


@frozen(kw_only=True)
class UNet2DSigma:
    """The diffusers `UNet2DModel`, told a real noise level for each of `num_scales` scales.

    With these defaults it is the closest that the library comes to the DDPM++ network of Karras et
    al. (2022) for CIFAR-10: residual resampling, 0.01 % more parameters; it differs by 256 channels
    in its first layer, attention in every upward layer of its stage, and no scaling of skips. One
    level takes the place of the library's time. Several become one vector, by sinusoids of each and
    two layers over all of them. If it is `told_changes`, a layer takes what was done to an image.
    """

    kind: ClassVar = "unet2d-sigma"

    num_scales: int = count(default=1, most=MAX_SCALES)
    channels: tuple[int, ...] = widths(default=(256, 256, 256), rehearsal=8)
    layers_per_block: int = count(default=4, rehearsal=1)
    attention: tuple[bool, ...] = (False, True, False)
    embedding_dim: int = count(default=512, rehearsal=16)
    norm_groups: int = count(default=32, rehearsal=4)
    dropout: float = fraction(default=0.13)
    told_changes: bool = added(default=False)


@frozen(kw_only=True)
class Churn:
    """Noise put back before a step (Karras et al. 2022, Algorithm 2), as a share of all steps.

    `amount`, `from_sigma`, `to_sigma` and `scale` are the paper's S_churn, S_min, S_max, S_noise;
    of several scales the noisiest decides.
    """

    amount: float = positive()
    from_sigma: float = non_negative(default=0.0)
    to_sigma: float = field(default=float("inf"), validator=above(0))
    scale: float = positive(default=1.0)


Prior = Literal["gaussian", "unit-circle"]
"""What sampling starts from: normal noise, or its channel pairs (c, c + C/2) scaled to length 1.

The second has a variance of 1/2; with `prior_scale` 1.4 it starts at 0.98, which is nearly right.
"""


@frozen(kw_only=True)
class Heun:
    """Second-order steps down the levels of a path (Karras et al. 2022, Algorithms 1 and 2).

    Every scale has its own level, and a scale whose level stays does not move. The state is in
    double precision. It takes 2 `steps` - 1 network calls.
    """

    kind: ClassVar = "heun"

    steps: int = count(default=18, rehearsal=3, least=2)
    path: Path = field(default=Sync())
    sigma_min: float = positive(default=0.002)
    sigma_max: float = positive(default=80.0)
    rho: float = positive(default=7.0)
    prior: Prior = "gaussian"
    prior_scale: float = positive(default=1.0)
    churn: Churn | None = None
    allow_biased: bool = False
