"""Reals drawn from the whole data set."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Generator, Tensor

from repro.engine.objectives.images import draw_indices
from repro.engine.reals.source import Drawn


def whole_set(labels: NDArray[np.int64]) -> "WholeSet":
    """The source of a data set whose examples have these *labels* [N], from 0."""
    present = np.unique(labels)
    return WholeSet(
        num_examples=len(labels),
        present=torch.from_numpy(present),
        members={int(each): np.flatnonzero(labels == each) for each in present},
    )


@frozen(kw_only=True, eq=False)
class WholeSet:
    """Distinct classes, uniformly; their examples all different while the data hold enough.

    A class, or a data set, that holds too few is drawn from with replacement, and counted.
    """

    num_examples: int
    present: Tensor
    members: Mapping[int, NDArray[np.intp]]

    def next_labels(self, num: int, *, generator: Generator) -> Tensor:
        return self.present[torch.randperm(len(self.present), generator=generator)[:num]]

    def draw(self, labels: Tensor, *, num_own: int, num_any: int, generator: Generator) -> Drawn:
        rows = [
            self._row(label, num_own=num_own, num_any=num_any, generator=generator)
            for label in labels.tolist()
        ]
        short = sum(len(self.members[label]) < num_own for label in labels.tolist())
        return Drawn(
            numbers=torch.from_numpy(np.stack(rows)),
            underflow={
                "underflow/class": float(short),
                "underflow/any": float(len(labels) if self.num_examples < num_any else 0),
            },
        )

    def state(self) -> Mapping[str, Tensor]:
        return {}

    def _row(
        self, label: int, *, num_own: int, num_any: int, generator: Generator
    ) -> NDArray[np.intp]:
        own = self.members[label]
        parts: Sequence[NDArray[np.intp]] = [
            own[draw_indices(len(own), num_own, generator=generator)],
            draw_indices(self.num_examples, num_any, generator=generator),
        ]
        return np.concatenate(parts)
