"""The seam between a probe and the engine: what it may read, and what it leaves.

A probe is the function that `builders` names for its kind: `(spec, subject) -> Findings`. It gets
copies of what is on record, so whatever it does to a network disturbs nothing.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from repro.engine.datasets import EncodedImages, Images, Points
from repro.engine.objectives.objective import Objective
from repro.engine.progress import Progress
from repro.metrics.features import Features
from repro.spec.evaluate import Extractor
from repro.spec.plan import Training


@frozen(kw_only=True, eq=False)
class SampleArrays:
    """uint8 images [N, H, W, C]; what each was made from: a seed or an index, and a label, [N]."""

    images: NDArray[np.uint8]
    sources: NDArray[np.int64]
    labels: NDArray[np.int64]
    facts: Mapping[str, Any]


class Subject(Protocol):
    """What a probe may read. Nothing is opened before it is asked for.

    `step` is the checkpoint, none for images that no network made. `training` is the part of the
    spec that made the network: its network, objective and training as written.
    """

    @property
    def step(self) -> int | None: ...
    @property
    def training(self) -> Training: ...
    @property
    def device(self) -> str: ...
    @property
    def progress(self) -> Progress: ...

    def network(self, which: Literal["ema", "raw"] = "ema") -> nn.Module:
        """The network with the weights of the checkpoint, on the device, in the mode of use."""

    def objective(self) -> Objective:
        """What the training minimized, on its data, as before the first update."""

    def data(self) -> Images | EncodedImages | Points:
        """What the training learned from."""

    def images(self) -> Images:
        """The images of the probe's `data`; without such a field, those behind the training's."""

    def samples(self) -> SampleArrays:
        """The images of the probe's `sample`."""

    def judge(self) -> nn.Module:
        """The classifier of the probe's `judge`, trained: images [B, C, H, W] to logits [B, K]."""

    def decoded(self, made: Tensor) -> Tensor:
        """Images [B, C, H, W] in about [-1, 1] of what the network makes: of latents, or itself."""

    def features(self, extractor: Extractor, images: Any) -> tuple[Features, Mapping[str, Any]]:
        """Features of images [N, H, W, C], and the facts of the extractor that made them."""


@frozen(kw_only=True)
class Value:
    """One number: over how many things (`num`), with its error and unit, if it has them."""

    metric: str
    value: float
    num: int
    unit: str = ""
    se: float | None = None
    se_kind: str = ""


@frozen(kw_only=True, eq=False)
class Left:
    """A file that a probe leaves."""

    role: str
    name: str
    data: bytes
    media_type: str = "application/octet-stream"


@frozen(kw_only=True, eq=False)
class Findings:
    """What a probe found.

    `protocol` is what makes its numbers comparable besides the probe's own fields: digests of the
    data and weights that it compared with. `facts` are whatever else is worth keeping.
    """

    values: tuple[Value, ...] = ()
    files: tuple[Left, ...] = ()
    protocol: Mapping[str, Any] = field(factory=dict)
    facts: Mapping[str, Any] = field(factory=dict)


class Probe(Protocol):
    """Asks one thing of a trained network; random numbers come from `seeds.seeded` alone."""

    def __call__(self, spec: Any, subject: Subject) -> Findings: ...
