"""Whether a network repeats what it was trained on."""

from typing import ClassVar

from attrs import field, frozen

from repro.spec.data import ImageSet
from repro.spec.evaluate import Extractor, InceptionV3Compat
from repro.spec.fields import MAX_IMAGES, count
from repro.spec.probes.of_checkpoints import OfCheckpoints
from repro.spec.sample import SampleSet


@frozen(kw_only=True)
class NearestNeighbours(OfCheckpoints):
    """The real image most like each sample, by the cosine of features of `extractor`.

    Reals are those of the training, or of `data`: `num_reals` of them, chosen by one fixed
    permutation, or all. A `sample` of kind `dataset` with held-out images is the control: what
    similarity is that of images which nobody repeated.
    """

    kind: ClassVar = "nearest-neighbours"

    sample: SampleSet
    data: ImageSet | None = None
    num_reals: int | None = count(default=None, rehearsal=32, most=MAX_IMAGES)
    extractor: Extractor = field(factory=InceptionV3Compat)
