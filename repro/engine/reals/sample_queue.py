"""Reals drawn from banks of the newest ones (Deng et al. 2026, appendix A.8)."""

from collections.abc import Mapping

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Generator, Tensor

from repro.engine.reals.ring_buffers import RingBuffers, empty_rings
from repro.engine.reals.source import Drawn
from repro.errors import RunError
from repro.spec.reals import Banks


def sample_queue(spec: Banks, labels: NDArray[np.int64]) -> "SampleQueue":
    """An empty queue for a data set whose examples have these *labels* [N], from 0."""
    num = len(labels)
    return SampleQueue(
        spec=spec,
        labels=torch.tensor(labels),
        order=torch.arange(num),
        passed=torch.tensor(num),
        by_class=empty_rings(int(labels.max()) + 1, spec.class_size, dtype=torch.int64),
        of_any=empty_rings(1, spec.global_size, dtype=torch.int64),
    )


@frozen(kw_only=True, eq=False)
class SampleQueue:
    """A bank for each class and one for all, fed from the data in random order, pass after pass.

    The data set never changes, so the banks hold the numbers of examples and not the examples:
    eight bytes each in a checkpoint. `order` [N] is the order of the pass under way, of which
    `passed` examples are pushed. A pass pushes every example once, so that a bank has one example
    twice only where it reaches back into an earlier pass.
    """

    spec: Banks
    labels: Tensor
    order: Tensor
    passed: Tensor
    by_class: RingBuffers
    of_any: RingBuffers

    def next_labels(self, num: int, *, generator: Generator) -> Tensor:
        """Push what the step brings; give the classes [num] of the step.

        Raises:
            RunError: when classes should be distinct and fewer are held.
        """
        if self.spec.prefilled and not self.of_any.pushed.any():
            self._fill(generator)
        pushed = self._push(self.spec.pushes_per_step, generator=generator)
        if self.spec.labels == "pushed":
            chosen = torch.randperm(len(pushed), generator=generator)[:num]
            return self.labels[pushed[chosen]]
        held = self.by_class.pushed.nonzero().flatten()
        if len(held) < num:
            msg = (
                f"objective.queue: examples of only {len(held)} classes are held, a step draws "
                f"{num}; set prefilled = true or raise pushes_per_step"
            )
            raise RunError(msg)
        return held[torch.randperm(len(held), generator=generator)[:num]]

    def draw(self, labels: Tensor, *, num_own: int, num_any: int, generator: Generator) -> Drawn:
        """Draw from the banks of the classes, and from that of all.

        Raises:
            RunError: when a bank holds too few and the spec does not let them be repeated.
        """
        short = labels[self.by_class.sizes()[labels] < num_own]
        short_of_any = int(self.of_any.sizes()[0]) < num_any
        if self.spec.underflow == "error":
            if len(short):
                self._refuse(f"class {short[0]}", self.by_class, int(short[0]), num_own)
            if short_of_any:
                self._refuse("all classes", self.of_any, 0, num_any)
        rows = [
            torch.cat(
                [
                    self.by_class.draw(label, num_own, generator=generator),
                    self.of_any.draw(0, num_any, generator=generator),
                ]
            )
            for label in labels.tolist()
        ]
        return Drawn(
            numbers=torch.stack(rows),
            underflow={
                "underflow/class": float(len(short)),
                "underflow/any": float(len(labels) if short_of_any else 0),
            },
        )

    def state(self) -> Mapping[str, Tensor]:
        return {
            "order": self.order,
            "passed": self.passed,
            "by_class.entries": self.by_class.entries,
            "by_class.pushed": self.by_class.pushed,
            "of_any.entries": self.of_any.entries,
            "of_any.pushed": self.of_any.pushed,
        }

    def _refuse(self, whose: str, bank: RingBuffers, ring: int, num: int) -> None:
        msg = (
            f"objective.queue: the bank of {whose} holds {bank.sizes()[ring]} examples, a step "
            f"draws {num}, all different; set prefilled = true, or underflow = with-replacement"
        )
        raise RunError(msg)

    def _fill(self, generator: Generator) -> None:
        """Push whole passes over the data until the banks of all its classes are full."""
        while (
            bool((self.by_class.sizes()[self.labels] < self.spec.class_size).any())
            or int(self.of_any.sizes()[0]) < self.spec.global_size
        ):
            self._push(len(self.order), generator=generator)

    def _push(self, num: int, *, generator: Generator) -> Tensor:
        """Push the next *num* examples of the data; return their numbers."""
        parts = []
        while num:
            if int(self.passed) == len(self.order):
                self.order.copy_(torch.randperm(len(self.order), generator=generator))
                self.passed.zero_()
            part = self.order[int(self.passed) :][:num].clone()
            self.passed.add_(len(part))
            num -= len(part)
            parts.append(part)
        pushed = torch.cat(parts)
        self.by_class.push(self.labels[pushed], pushed)
        self.of_any.push(torch.zeros_like(pushed), pushed)
        return pushed
