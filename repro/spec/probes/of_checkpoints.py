"""What every probe says: its name, and the checkpoints that it is put to."""

from typing import ClassVar

from attrs import frozen

from repro.spec.evaluate import Checkpoints
from repro.spec.fields import text


@frozen(kw_only=True)
class OfCheckpoints:
    """A question to the network after some updates, asked once a checkpoint: by default the last.

    A field `sample` makes the plan sample those images first, at the same checkpoint; a field
    `data` makes it prepare that data set, and a field `judge` train that classifier on the images
    of the training. All are optional. A kind with `asks_network` off needs no training.
    """

    asks_network: ClassVar = True

    name: str = text(r"[a-z0-9][a-z0-9.-]*")
    checkpoints: Checkpoints | None = None
