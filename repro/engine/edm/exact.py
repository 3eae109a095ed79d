"""Gaussian data whose denoiser is known exactly, for any level of every coordinate."""

import torch
from torch import Tensor

from repro.engine.edm.precondition import Denoiser


def gaussian_denoiser(mean: Tensor, covariance: Tensor) -> Denoiser:
    """E[x0 | X] of N(*mean* [D], *covariance* [D, D]) for states [B, D, 1, 1].

    Levels are [B, G], equal in all rows; G divides D.
    """

    def denoise(state: Tensor, sigma: Tensor) -> Tensor:
        noise = sigma[0].repeat_interleave(len(mean) // sigma.shape[1]) ** 2
        gain = torch.linalg.solve(covariance + noise.diag(), covariance)
        # covariance (covariance + noise)^-1, both symmetric
        expected: Tensor = (state.flatten(1) - mean) @ gain + mean
        return expected.reshape(state.shape)

    return denoise


def two_scales(*, std: float, correlation: float = 0.9, fine: int = 8, factor: int = 4) -> Tensor:
    """The covariance [2 fine, 2 fine] of pixels in a row beside their block means, repeated.

    Pixels are autoregressive: *correlation* between neighbours, deviation *std*.
    """
    places = torch.arange(fine, dtype=torch.float64)
    pixels = std**2 * correlation ** (places[:, None] - places[None, :]).abs()
    blocks = places.div(factor, rounding_mode="floor")
    average = (blocks[:, None] == blocks[None, :]).double() / factor
    both = torch.cat([torch.eye(fine, dtype=torch.float64), average])
    return both @ pixels @ both.T


def frechet(first: Tensor, second: Tensor) -> float:
    """Squared Frechet distance of two centred Gaussians by their covariances [D, D]."""
    root = _root(first)
    both = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    return float(first.trace() + second.trace() - 2 * both)


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root
