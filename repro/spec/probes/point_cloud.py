"""How far a generator of points is from the law that it learns."""

from typing import ClassVar

from attrs import frozen

from repro.spec.fields import count, random_seed
from repro.spec.probes.of_checkpoints import OfCheckpoints


@frozen(kw_only=True)
class PointCloud(OfCheckpoints):
    """The energy distance of generated and fresh real points, and a picture of both.

    It is measured on `num_parts` pairs of sets of `part_size` points, whose spread is its error.
    The same number of two sets of real points, around 0, stands beside it.
    """

    kind: ClassVar = "point-cloud"

    num_parts: int = count(default=8, rehearsal=2, least=2)
    part_size: int = count(default=512, rehearsal=8, least=2)
    seed: int = random_seed(default=0)
