"""What a conditional denoiser is told while it samples, and how strongly it is held to it.

A conditional network has a whole number `null_label`, the label that stands for no class, and takes
labels after image and level. Samplers do not know of it: they call what `told` gives.
"""

from typing import Any

import torch
from torch import Tensor, nn

from repro.engine.samplers.sampler import Network
from repro.errors import RunError
from repro.spec.sample import ClassifierFree


def null_label_of(network: Any) -> int | None:
    """The label that tells a conditional network nothing; None if it takes no labels."""
    found: int | None = getattr(network, "null_label", None)
    return found


def told(
    network: Network, labels: Tensor, *, null_label: int, guidance: ClassifierFree | None
) -> Network:
    """A conditional *network* as samplers call it, told *labels* [B].

    With guidance the output is u + w (c - u), of its output c for the labels and u for the null
    label (Ho & Salimans 2022). At w = 1 and w = 0 it is c and u, bit for bit, in one call; else a
    call takes two. As noise, image and velocity are affine in each other, guiding any is the same.
    """
    weight = 1.0 if guidance is None else weight_of(guidance)
    nothing = torch.full_like(labels, null_label)

    def conditional(z: Tensor, *levels: Tensor) -> Tensor:
        return network(z, *levels, labels)

    def unconditional(z: Tensor, *levels: Tensor) -> Tensor:
        return network(z, *levels, nothing)

    def guided(z: Tensor, *levels: Tensor) -> Tensor:
        without = unconditional(z, *levels)
        return without + weight * (conditional(z, *levels) - without)

    return {1.0: conditional, 0.0: unconditional}.get(weight, guided)


def weight_of(guidance: ClassifierFree) -> float:
    """The w of u + w (c - u), whichever convention the scale is of."""
    return guidance.scale + (1.0 if guidance.convention == "from-condition" else 0.0)


@torch.no_grad()
def sensitivity(network: nn.Module, z: Tensor, *levels: Tensor) -> float:
    """How far the output for z [B, ...] moves with the label: the mean over all pairs of classes.

    Unit: mean absolute difference of what the network predicts. It is 0 for a network that does not
    read its labels.
    """
    return _mean_difference(_by_class(network, z, *levels))


@torch.no_grad()
def refuse_deaf(network: nn.Module, z: Tensor, *levels: Tensor) -> float:
    """The `sensitivity` of a conditional network, which must not be 0 unless all it says is.

    A network whose last layer starts at zero says nothing before its first update.

    Raises:
        RunError: every class gives the same output, so that no sample could have a class.
    """
    outputs = _by_class(network, z, *levels)
    found = _mean_difference(outputs)
    if found == 0 and len(outputs) > 1 and bool(outputs.any()):
        msg = (
            "sample: the network takes labels, but its output is the same for every class; the "
            "layers that read the condition are missing, or were never trained"
        )
        raise RunError(msg)
    return found


class Teller:
    """Tells a network its labels, if it takes any, after it has been seen to listen.

    `sensitivity` is how far the first image of the first call moved with the label; None of a
    network that takes none.
    """

    def __init__(self, network: nn.Module, *, guidance: ClassifierFree | None) -> None:
        self._network = network
        self._guidance = guidance
        self.sensitivity: float | None = None

    def telling(self, calls: Network, labels: Tensor) -> Network:
        """*calls*, a way to the network, as samplers call it for images of *labels* [B]."""
        null_label = null_label_of(self._network)
        if null_label is None:
            return calls
        network = told(calls, labels, null_label=null_label, guidance=self._guidance)

        def listened(z: Tensor, *levels: Tensor) -> Tensor:
            if self.sensitivity is None:
                alone = (each[:1] for each in (z, *levels))
                self.sensitivity = refuse_deaf(self._network, *alone)
            return network(z, *levels)

        return listened


def _by_class(network: nn.Module, z: Tensor, *levels: Tensor) -> Tensor:
    """The outputs [K, B, ...] for each class in turn."""
    labels = range(null_label_of(network) or 0)
    made = [network(z, *levels, torch.full((len(z),), each, device=z.device)) for each in labels]
    return torch.stack(made)


def _mean_difference(outputs: Tensor) -> float:
    """The mean absolute difference of two different rows; 0 of a single one."""
    first, second = torch.triu_indices(len(outputs), len(outputs), offset=1, device=outputs.device)
    return float((outputs[first] - outputs[second]).abs().mean()) if len(first) else 0.0
