"""The denoiser around a network, and the weight of its error (Karras et al. 2022, table 1).

States are x0 + sigma n: the data keep their size, the noise grows. Every coefficient is of one
scale, [B, G] as its sigma. Where sigma is the deviation of the noise and `sigma_data` that of the
data, the network's input, its target and its weighted error have variance 1 at every level.
"""

from collections.abc import Callable

from attrs import frozen
from torch import Tensor

from repro.engine.edm.codec import on_channels

Network = Callable[[Tensor, Tensor], Tensor]
"""F: scaled states [B, C, H, W] and ln(sigma)/4 of every scale [B, G] to a prediction."""

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""E[x0 | X]: states X = x0 + sigma n [B, C, H, W] and sigma [B, G] to clean states."""


@frozen(kw_only=True)
class Coefficients:
    """c_skip, c_out, c_in and c_noise."""

    skip: Tensor
    out: Tensor
    into: Tensor
    noise: Tensor


def coefficients(sigma: Tensor, *, sigma_data: float) -> Coefficients:
    """The coefficients at *sigma*, of any shape."""
    total = sigma**2 + sigma_data**2
    return Coefficients(
        skip=sigma_data**2 / total,
        out=sigma * sigma_data / total.sqrt(),
        into=1 / total.sqrt(),
        noise=sigma.log() / 4,
    )


def loss_weight(sigma: Tensor, *, sigma_data: float) -> Tensor:
    """lambda, 1 / c_out^2: so the squared error of the network's own output counts as 1."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def denoiser(network: Network, *, sigma_data: float) -> Denoiser:
    """c_skip X + c_out F(c_in X, c_noise), in the precision of X; F is called in single."""

    def denoise(state: Tensor, sigma: Tensor) -> Tensor:
        by = coefficients(sigma, sigma_data=sigma_data)
        scaled = on_channels(by.into, state) * state
        output = network(scaled.float(), by.noise.float()).to(state.dtype)
        return on_channels(by.skip, state) * state + on_channels(by.out, state) * output

    return denoise


def to_variance_preserving(state: Tensor, sigma: Tensor) -> Tensor:
    """The state X / sqrt(1 + sigma^2): of variance 1 at every level for data of variance 1."""
    return state / on_channels((1 + sigma**2).sqrt(), state)


def to_variance_exploding(state: Tensor, sigma: Tensor) -> Tensor:
    """The state z sqrt(1 + sigma^2)."""
    return state * on_channels((1 + sigma**2).sqrt(), state)
