"""How images are made for an evaluation. Image i of a set uses seed `seed + i` alone."""

from typing import ClassVar, Literal

from attrs import frozen

from repro.spec.data import Dataset
from repro.spec.edm import Heun
from repro.spec.fields import (
    MAX_IMAGES,
    added,
    count,
    image_channels,
    non_negative,
    number,
    positive,
    random_seed,
    side,
)


@frozen(kw_only=True)
class OneStep:
    """One network call from noise to image, at guidance scale `alpha` (drifting)."""

    kind: ClassVar = "one-step"

    alpha: float = positive(default=1.0)


@frozen(kw_only=True)
class Ddpm:
    """Ancestral sampling on an evenly re-spaced subsequence (Ho et al. 2020, Algorithm 2)."""

    kind: ClassVar = "ddpm"

    steps: int = count(default=1000, rehearsal=2)
    clip: bool = True
    allow_biased: bool = False


@frozen(kw_only=True)
class Ddim:
    """Implicit sampling, trailing spacing (Song et al. 2021, eq. 12); eta 0 is deterministic."""

    kind: ClassVar = "ddim"

    steps: int = count(default=50, rehearsal=2)
    eta: float = number(default=0.0, least=0, most=1)
    clip: bool = True
    allow_biased: bool = False


@frozen(kw_only=True)
class AdjacentStrided:
    """Strided levels, but each update is the adjacent-level one: biased (seed study E7)."""

    kind: ClassVar = "ddpm-adjacent-strided"

    steps: int = count(default=50, rehearsal=2)
    allow_biased: bool = False


@frozen(kw_only=True)
class MeanScaled:
    """All levels; posterior mean plus eta times posterior noise; not DDIM at eta 0 (STL-10 log)."""

    kind: ClassVar = "ancestral-mean-scaled"

    eta: float = non_negative(default=1.0)
    allow_biased: bool = False


Quantisation = Literal["round-half-even", "truncate"]
"""How a value in [-1, 1] becomes a byte, after clamping: to the nearest, or to the one below."""

DenoisingSampler = Ddpm | Ddim | AdjacentStrided | MeanScaled
Sampler = OneStep | Ddpm | Ddim | AdjacentStrided | MeanScaled | Heun


@frozen(kw_only=True)
class ClassifierFree:
    """Two network calls a step: c with the class, u without (Ho & Salimans 2022).

    The output is u + scale (c - u), where 1 is the class alone and 0 none (`from-null`: Imagen,
    diffusers, the STL-10 log), or (1 + scale) c - scale u, where 0 is the class alone
    (`from-condition`: the paper). Scale s of the second is scale s + 1 of the first.
    """

    kind: ClassVar = "classifier-free"

    scale: float = number(least=0, most=1000)
    convention: Literal["from-null", "from-condition"] = "from-null"


Guidance = ClassifierFree


@frozen(kw_only=True)
class FromCheckpoint:
    """Images of the trained network. Label i is `seed + i` modulo the classes, so all are even.

    A network that makes latents has them decoded by the autoencoder of its data. Images are clamped
    to [-1, 1] and quantised; the drifting paper truncates, which is evidence in no table here.
    """

    kind: ClassVar = "checkpoint"

    sampler: Sampler
    num_samples: int = count(rehearsal=8, least=2, most=MAX_IMAGES)
    seed: int = random_seed(default=0)
    weights: Literal["ema", "raw"] = "ema"
    quantisation: Quantisation = added("round-half-even")
    guidance: Guidance | None = added(None)


@frozen(kw_only=True)
class FromDataset:
    """Real images, drawn without replacement: what a perfect model would reach at this size."""

    kind: ClassVar = "dataset"

    data: Dataset
    num_samples: int = count(rehearsal=8, least=2, most=MAX_IMAGES)
    seed: int = random_seed(default=0)


@frozen(kw_only=True)
class UniformNoise:
    """Every byte uniform: the far end of the scale."""

    kind: ClassVar = "uniform-noise"

    num_samples: int = count(rehearsal=8, least=2, most=MAX_IMAGES)
    seed: int = random_seed(default=0)
    height: int = side(default=32)
    width: int = side(default=32)
    channels: int = image_channels(default=3)


SampleSet = FromCheckpoint | FromDataset | UniformNoise
