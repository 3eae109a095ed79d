"""How strongly a denoiser of several scales reacts to its input, at pairs of noise levels."""

from typing import ClassVar, Literal

from attrs import frozen

from repro.spec.fields import count, positive, random_seed
from repro.spec.probes.of_checkpoints import OfCheckpoints


@frozen(kw_only=True)
class JacobianHeatmap(OfCheckpoints):
    """The energy of the denoiser's Jacobian where fine and coarse scales have their own levels.

    On the grid of `num_levels` levels (those of Karras et al. 2022) for the finest scale and for
    all coarse ones, the squared Frobenius norm of the rows of each scale, divided by the squared
    number of places, by `num_probes` random directions on each of `num_images` images. The input is
    the one that the denoiser takes at constant variance, `as-trained`; the study's published
    scripts gave it images under the bare noise instead, up to 80 times too large (`exploding`).
    Directions, images and noise are the same at all levels.

    The four changes of variables of a path (`gamma`) make errors of it; a path of kind `cheapest`
    names this probe.
    """

    kind: ClassVar = "jacobian-heatmap"

    num_levels: int = count(default=30, rehearsal=4, least=2, most=1000)
    num_images: int = count(default=16, rehearsal=2)
    num_probes: int = count(default=4, rehearsal=1)
    noised: Literal["as-trained", "exploding"] = "as-trained"
    sigma_min: float = positive(default=0.002)
    sigma_max: float = positive(default=80.0)
    rho: float = positive(default=7.0)
    seed: int = random_seed(default=0)
