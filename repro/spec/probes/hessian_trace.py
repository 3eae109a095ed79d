"""How curved the loss is where a training has come to."""

from typing import ClassVar, Literal

from attrs import frozen

from repro.spec.fields import count, random_seed
from repro.spec.probes.of_checkpoints import OfCheckpoints

Vectors = Literal["rademacher", "gaussian"]


@frozen(kw_only=True)
class HessianTrace(OfCheckpoints):
    """The trace of the loss's Hessian over all that is trained, by random probes (Hutchinson 1989).

    The loss is that of the training, dropout off, on batches of its size. Each of `num_probes`
    random vectors sees a batch of its own if `resampled`, so that the spread of the probes is that
    of batches too; otherwise all see the first, and it is the estimator's alone. `num_bands` asks a
    denoiser once more in each of so many equal ranges of noise levels, with the loss there, its
    weight and the signal-to-noise ratio. The same `seed` asks every checkpoint about the same
    batches.
    """

    kind: ClassVar = "hessian-trace"

    num_probes: int = count(default=16, rehearsal=2, most=10_000)
    num_bands: int = count(default=0, rehearsal=2, least=0, most=1000)
    resampled: bool = True
    vectors: Vectors = "rademacher"
    weights: Literal["raw", "ema"] = "raw"
    seed: int = random_seed(default=0)
