"""The drift field and its loss (Deng et al. 2026, arXiv 2602.04770).

A row is one (class, location) pair of one feature: its N generated vectors are drawn to P positives
and pushed off negatives, by mean shifts under a kernel of their distances. Tensors are
[classes, locations, vectors, channels], in any memory layout.

`field`         the field of a whole batch, streamed over its rows
`affinity`      the mathematics of a few rows
`kernels`       what computes it: torch call by call, or fused where that is faster
`loss`          the regression onto the moved vectors, with its gradient formed beside its value
`guidance`      the laws of the guidance scale alpha, and what it weighs
`reference`     the field again in float64, spelled out: what the fast path is held to
"""

from repro.engine.drift.field import Drift, Statistics, compute_drift
from repro.engine.drift.guidance import draw_alpha, guidance_weight
from repro.engine.drift.loss import drift_loss

__all__ = [
    "Drift",
    "Statistics",
    "compute_drift",
    "draw_alpha",
    "drift_loss",
    "guidance_weight",
]
