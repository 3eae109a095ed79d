"""Looks at a denoiser: how it takes noise away, what it restores, what its condition does."""

from typing import ClassVar

from attrs import field, frozen

from repro.spec.fields import at_least, count, positive, random_seed, several
from repro.spec.network import ConvEncoder
from repro.spec.probes.of_checkpoints import OfCheckpoints
from repro.spec.sample import SampleSet

Judge = ConvEncoder
"""What tells classes apart in a probe."""

LEVELS = (499, 400, 300, 200, 100, 50, 15)


@frozen(kw_only=True)
class DenoisingCollage(OfCheckpoints):
    """The way from noise to each image of a sample: its state at some `levels`, and the image.

    A sampler that does not visit a level is shown at the next lower one that it visits.
    """

    kind: ClassVar = "denoising-collage"

    sample: SampleSet
    levels: tuple[int, ...] = several(at_least(0), default=LEVELS)


@frozen(kw_only=True)
class ClassGrid(OfCheckpoints):
    """Images of fixed seeds, a column a class, with what a classifier takes each of them for.

    The classifier `judge` is trained on the images of the training; its accuracy on samples is a
    control, no standard. A `sample` of kind `dataset` with held-out images says what it can reach.
    """

    kind: ClassVar = "class-grid"

    sample: SampleSet
    judge: Judge = field(factory=ConvEncoder)


@frozen(kw_only=True)
class Reconstruction(OfCheckpoints):
    """Real images, noised up to each of `levels` and taken back by the sampler of `sample`.

    The first images of a fixed permutation of the training's, with their own labels. From a level
    without signal an image is generated, not restored.
    """

    kind: ClassVar = "reconstruction"

    sample: SampleSet
    levels: tuple[int, ...] = several(at_least(0), default=(499, 300, 200))
    num_images: int = count(default=8, rehearsal=2)
    seed: int = random_seed(default=0)


@frozen(kw_only=True)
class LabelSensitivity(OfCheckpoints):
    """How far a prediction moves with the label, on images noised to each of `levels`."""

    kind: ClassVar = "label-sensitivity"

    levels: tuple[int, ...] = several(at_least(0))
    num_images: int = count(default=16, rehearsal=2)
    seed: int = random_seed(default=0)


@frozen(kw_only=True)
class ConditionMap(OfCheckpoints):
    """What classes are told as: the cosines of the vectors, and a map of them by t-SNE."""

    kind: ClassVar = "condition-map"

    perplexity: float = positive(default=5.0)
    seed: int = random_seed(default=0)


@frozen(kw_only=True)
class CallCost(OfCheckpoints):
    """What one call of the network costs: parameters, operations, and time on this machine.

    Seconds are the median of `repeats` calls with `batch_size` examples.
    """

    kind: ClassVar = "call-cost"

    batch_size: int = count(default=8, rehearsal=2)
    repeats: int = count(default=10, rehearsal=2)


@frozen(kw_only=True)
class Autoencoding(OfCheckpoints):
    """What an autoencoder restores of images, and the scale of its latents.

    One over `latent_std` is the `scaling_factor` of data that are made of them.
    """

    kind: ClassVar = "autoencoding"

    num_images: int = count(default=64, rehearsal=4)


Diagnostic = (
    Autoencoding
    | DenoisingCollage
    | ClassGrid
    | Reconstruction
    | LabelSensitivity
    | ConditionMap
    | CallCost
)
