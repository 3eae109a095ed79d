"""The trace of a loss's Hessian over the parameters, by random probes (Hutchinson 1989).

tr(H) = E[v . H v] for v with independent entries of mean 0 and variance 1, and H v is the gradient
of g . v, where g is the gradient of the loss: two backward passes a probe, no Hessian. The unit is
loss per squared parameter, so a trace means something only beside the loss's normalization.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from attrs import frozen
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from repro.spec.probes.hessian_trace import Vectors


@frozen(kw_only=True)
class TraceEstimate:
    """`mean` estimates the trace; `std` is the spread of single probes, `sem` that of their mean.

    If every probe had a loss of its own, the spread is of both: of the vectors and of the losses.
    """

    per_probe: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.per_probe)

    @property
    def std(self) -> float:
        """Around the mean of these probes (divided by their number, as the study E7 has it)."""
        return statistics.pstdev(self.per_probe)

    @property
    def sem(self) -> float | None:
        """The standard error of the mean; None of a single probe."""
        if len(self.per_probe) == 1:
            return None
        return float(statistics.stdev(self.per_probe) / len(self.per_probe) ** 0.5)

    @property
    def loss(self) -> float:
        """The mean of the losses that the probes saw."""
        return statistics.fmean(self.losses)


def hutchinson_trace(
    loss: Callable[[int], Tensor],
    parameters: Sequence[Tensor],
    *,
    num_probes: int,
    generator: Generator,
    vectors: Vectors = "rademacher",
) -> TraceEstimate:
    """Estimate the trace of the Hessian of *loss* over *parameters*, all of which it must use.

    `loss(i)` is the scalar that probe i sees: the same at every call, or one of fresh data. The
    random vectors come from *generator* (on the CPU). Nothing is left behind: no gradients are
    stored on the parameters, and torch's own random streams are not drawn from here.

    A Rademacher probe has variance 2 (the sum of H_ij^2 off the diagonal) and none at all for a
    diagonal Hessian; a Gaussian one 2 |H|_F^2.
    """
    traces, losses = [], []
    # Attention fused for speed has no second derivative on a CPU.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        for probe in range(num_probes):
            value = loss(probe)
            vector = [_drawn(each, vectors, generator=generator) for each in parameters]
            traces.append(_quadratic_form(value, parameters, vector))
            losses.append(float(value.detach()))
    return TraceEstimate(per_probe=tuple(traces), losses=tuple(losses))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Dropout off inside the block; each module back in its own mode after it."""
    modes = {each: each.training for each in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for each, training in modes.items():
            each.training = training


def _quadratic_form(value: Tensor, parameters: Sequence[Tensor], vector: Sequence[Tensor]) -> float:
    """V . H v, added up in double precision."""
    gradients = torch.autograd.grad(value, parameters, create_graph=True)
    along = torch.stack(
        [(one * other).sum() for one, other in zip(gradients, vector, strict=True)]
    ).sum()
    if not along.requires_grad:
        return 0.0  # the loss is linear in the parameters
    products = torch.autograd.grad(along, parameters, allow_unused=True)
    return sum(
        float((one.double() * other.double()).sum())
        for one, other in zip(products, vector, strict=True)
        if one is not None  # a parameter on which the gradient does not depend
    )


def _drawn(like: Tensor, vectors: Vectors, *, generator: Generator) -> Tensor:
    if vectors == "gaussian":
        return torch.randn(like.shape, generator=generator).to(like)
    return (torch.randint(2, like.shape, generator=generator) * 2 - 1).to(like)
