"""What each noise level counts, said once for the error of the image, and converted from there.

At signal-to-noise ratio SNR an error of the image x0 is, for the same network, one of epsilon or v:
|d epsilon|^2 = SNR |d x0|^2 and |d v|^2 = (1 + SNR) |d x0|^2. A weight W of image errors is
therefore W / SNR on errors of epsilon and W / (1 + SNR) on errors of v.
"""

from typing import Any

import torch
from torch import Tensor

from repro.engine.schedules import Prediction
from repro.spec.weighting import MinSnr, UniformWeighting, Weighting


def signal_to_noise(process: Any) -> Tensor:
    """Abar / (1 - abar) of every level of a diffusers schedule: float64 [num_levels].

    In double precision from the betas: one minus a product near one loses three digits in single.
    """
    abar: Tensor = (1 - process.betas.double()).cumprod(0)
    return abar / (1 - abar)


def image_error_factor(prediction: Prediction, snr: Tensor) -> Tensor:
    """How many times larger the squared error of *prediction* is than that of the image."""
    match prediction:
        case "epsilon":
            return snr
        case "v":
            return 1 + snr
        case "sample":
            return torch.ones_like(snr)


def image_weights(weighting: Weighting, prediction: Prediction, snr: Tensor) -> Tensor:
    """What the squared error of the image counts at each *snr*."""
    match weighting:
        case UniformWeighting():
            return image_error_factor(prediction, snr)
        case MinSnr(gamma=gamma):
            return snr.clamp(max=gamma)


def loss_weights(weighting: Weighting, prediction: Prediction, snr: Tensor) -> Tensor:
    """What the squared error of *prediction* counts at each *snr*; 1 where there is no signal.

    Normalized weights have a mean of one over *snr*, so that of a training batch is to be given.
    """
    weights = image_weights(weighting, prediction, snr) / image_error_factor(prediction, snr)
    weights = torch.where(snr > 0, weights, torch.ones_like(weights))
    if getattr(weighting, "normalized", False):
        weights = weights / weights.mean()
    return weights
