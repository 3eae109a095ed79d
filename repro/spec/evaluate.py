"""What is measured on which images, against which reference, by which extractor."""

from typing import ClassVar, Literal

from attrs import field, frozen

from repro.spec.data import Dataset
from repro.spec.fields import (
    MAX_IMAGES,
    MAX_SIDE,
    added,
    at_least,
    between,
    content_digest,
    count,
    each,
    location,
    matching,
    not_empty,
    pin,
    random_seed,
    text,
)
from repro.spec.sample import SampleSet


@frozen(kw_only=True)
class Fid:
    """Frechet inception distance (Heusel et al. 2017); unit: squared feature distance."""

    kind: ClassVar = "fid"


@frozen(kw_only=True)
class Kid:
    """Kernel inception distance (Binkowski et al. 2018), all pairs, unbiased."""

    kind: ClassVar = "kid"


@frozen(kw_only=True)
class Prc:
    """Improved precision and recall (Kynkaanniemi et al. 2019) at the `neighbour`-th neighbour."""

    kind: ClassVar = "prc"

    neighbour: int = count(default=3, rehearsal=3)


@frozen(kw_only=True)
class Isc:
    """Inception score (Salimans et al. 2016) over `splits` splits, shuffled by `seed`."""

    kind: ClassVar = "isc"

    splits: int = count(default=10, rehearsal=2)
    seed: int = random_seed(default=2020)


Metric = Fid | Kid | Prc | Isc


@frozen(kw_only=True)
class InceptionV3Compat:
    """torch-fidelity's TensorFlow-compatible Inception; `none`: a stable random initialisation."""

    kind: ClassVar = "inception-v3-compat"

    inception_weights: Literal["standard", "none"] = "standard"


@frozen(kw_only=True)
class Pixels:
    """The pixels themselves, in [-1, 1], as features: for images of a few pixels, as digits are.

    A distance by them is a yardstick of its own and is evidence in no table.
    """

    kind: ClassVar = "pixels"


@frozen(kw_only=True)
class TorchvisionInception:
    """torchvision's ImageNet classifier up to its pooling: not the network of the FID.

    Reports that call it the pretrained Inception are compared with by it; it is evidence in no
    table. `path` is the safetensors file of its state,

        save_file(torchvision.models.inception_v3(weights="DEFAULT").state_dict(), PATH)

    and `digest` pins that file, or is `unpinned` until it is known.
    """

    kind: ClassVar = "inception-v3-torchvision"

    path: str = location()
    digest: str = pin()


@frozen(kw_only=True)
class CompatAsTorchvision:
    """The standard Inception's tensors in torchvision's layers, behind its preprocessing.

    What separates it from the standard is layers, resize and range alone. Evidence in no table.
    """

    kind: ClassVar = "inception-v3-compat-as-torchvision"


Extractor = InceptionV3Compat | Pixels | TorchvisionInception | CompatAsTorchvision


@frozen(kw_only=True)
class ShippedReference:
    """Reference statistics that come with the package, held to their digest."""

    kind: ClassVar = "shipped"

    name: Literal["cifar10-test"]
    digest: str = content_digest()


@frozen(kw_only=True)
class FileReference:
    """A reference-statistics file that `repro` wrote, held to its digest."""

    kind: ClassVar = "file"

    path: str = location()
    digest: str = content_digest()


@frozen(kw_only=True)
class DatasetReference:
    """Statistics of `num_images` images of a data set, or of all of them.

    The features of `num_features` of these are kept: KID, precision and recall need them. Both are
    chosen by one fixed permutation, because data sets lie sorted by class. With `enlarge_to` images
    are enlarged to that many pixels a side first (bicubic), as data for latents are.
    """

    kind: ClassVar = "dataset"

    data: Dataset
    num_images: int | None = count(default=None, rehearsal=32, least=2, most=MAX_IMAGES)
    num_features: int = count(default=2100, rehearsal=8, most=MAX_IMAGES)
    enlarge_to: int | None = added(None, validator=between(1, MAX_SIDE))


Reference = ShippedReference | FileReference | DatasetReference


@frozen(kw_only=True)
class Protocol:
    """What every evaluation of a spec shares, so that its numbers are comparable."""

    reference: Reference
    metrics: tuple[Metric, ...] = field(default=(Fid(),), validator=not_empty)
    extractor: Extractor = InceptionV3Compat()


CHOICE = r"[a-z0-9-]+:(min|max)"
"""A value that an evaluation measures, and which end of it is better."""


@frozen(kw_only=True)
class Checkpoints:
    """Which checkpoints are read: the `last` k, those after `steps`, or `every` so many updates.

    Or the one that was `best_of` those of an evaluation further up, `by` a value that it measured.
    The choice is recorded; the numbers that it was made by are evidence for no claim.
    """

    last: int = count(default=0, least=0)
    steps: tuple[int, ...] = field(default=(), validator=each(at_least(0)))
    every: int = added(0, validator=at_least(0))
    best_of: str = added("")
    by: str = added("fid:min", validator=matching(CHOICE))


@frozen(kw_only=True)
class Evaluate:
    """One row, or one row a checkpoint, of the results table.

    `extractor` and `reference` replace the protocol's for this row, which then has a protocol of
    its own.
    """

    name: str = text(r"[a-z0-9][a-z0-9.-]*")
    sample: SampleSet
    checkpoints: Checkpoints | None = None
    extractor: Extractor | None = None
    reference: Reference | None = None


@frozen(kw_only=True)
class Select:
    """A choice among evaluations by a measured value; the choice is recorded and marked."""

    among: tuple[str, ...] = field(validator=not_empty)
    primary: str = text(CHOICE, default="fid:min")
