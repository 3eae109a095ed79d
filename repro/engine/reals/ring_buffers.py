"""Exact ring buffers: what a bank of past examples is made of."""

import torch
from attrs import frozen
from torch import Generator, Tensor

from repro.engine.objectives.images import draw_indices


def empty_rings(
    num_rings: int, capacity: int, *, shape: tuple[int, ...] = (), dtype: torch.dtype
) -> "RingBuffers":
    """Rings for *capacity* entries each, of this shape and type."""
    return RingBuffers(
        entries=torch.zeros((num_rings, capacity, *shape), dtype=dtype),
        pushed=torch.zeros(num_rings, dtype=torch.int64),
    )


@frozen(kw_only=True, eq=False)
class RingBuffers:
    """Rings of one capacity, each with the newest of all that was pushed into it.

    `entries` is [rings, capacity, ...], of any type and shape: images, latents, or the numbers of
    examples. `pushed` [rings] counts all pushes so far; the next of ring r goes to place
    pushed[r] % capacity, over the oldest. Both tensors lie on the CPU, change in place and are the
    whole state.
    """

    entries: Tensor
    pushed: Tensor

    @property
    def capacity(self) -> int:
        return self.entries.shape[1]

    def sizes(self) -> Tensor:
        """How many entries each ring holds [rings]."""
        return self.pushed.clamp_max(self.capacity)

    def push(self, rings: Tensor, entries: Tensor) -> None:
        """Put entries[i] into ring rings[i], as if one after the other."""
        order = rings.argsort(stable=True)
        ring = rings[order]
        rank = torch.arange(len(ring)) - torch.searchsorted(ring, ring)
        counts = torch.bincount(rings, minlength=len(self.pushed))
        # Of more than fit only the last are written: equal places are written in no certain order.
        kept = rank >= counts[ring] - self.capacity
        place = (self.pushed[ring] + rank) % self.capacity
        self.entries[ring[kept], place[kept]] = entries[order[kept]]
        self.pushed.add_(counts)

    def draw(self, ring: int, num: int, *, generator: Generator) -> Tensor:
        """*num* entries [num, ...] of a ring that holds any: all different while it holds enough.

        Two entries are different when they were pushed apart, whatever their values.
        """
        held = min(int(self.pushed[ring]), self.capacity)
        return self.entries[ring, torch.from_numpy(draw_indices(held, num, generator=generator))]
