"""Images of the same seeds at every checkpoint."""

from typing import ClassVar

from attrs import frozen

from repro.spec.fields import count
from repro.spec.probes.of_checkpoints import OfCheckpoints
from repro.spec.sample import SampleSet


@frozen(kw_only=True)
class FixedSeedGrid(OfCheckpoints):
    """One picture a checkpoint, always of the same noise and labels, so that what moves is learned.

    Labels go round by the seed: with as many `columns` as classes, each column is a class.
    """

    kind: ClassVar = "fixed-seed-grid"

    sample: SampleSet
    columns: int = count(default=10, most=256)
