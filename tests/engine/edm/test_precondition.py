"""The coefficients of a preconditioned denoiser, and what they make of variances."""

import pytest
import torch

from repro.engine.edm.exact import gaussian_denoiser
from repro.engine.edm.precondition import (
    coefficients,
    denoiser,
    loss_weight,
    to_variance_exploding,
    to_variance_preserving,
)

LEVELS = [0.002, 0.1, 0.5, 1.0, 10.0, 80.0]
DATA = 0.5


@pytest.mark.parametrize("level", LEVELS)
def test_input_target_and_error_have_variance_one(level: float):
    """For data of deviation `sigma_data`, to 1e-12."""
    sigma = torch.tensor(level, dtype=torch.float64)
    by = coefficients(sigma, sigma_data=DATA)
    target = ((1 - by.skip) ** 2 * DATA**2 + by.skip**2 * sigma**2) / by.out**2

    assert by.into**2 * (DATA**2 + sigma**2) == pytest.approx(1, abs=1e-12)
    assert target == pytest.approx(1, abs=1e-9 if level == 0.002 else 1e-12)
    assert loss_weight(sigma, sigma_data=DATA) * by.out**2 == pytest.approx(1, abs=1e-12)


def test_without_noise_the_state_is_the_answer():
    """As sigma falls D is the identity, as it rises `sigma_data` times the network."""
    state = torch.full((1, 2, 1, 1), 0.7, dtype=torch.float64)
    denoise = denoiser(lambda *_: torch.full((1, 2, 1, 1), 3.0), sigma_data=DATA)

    still = denoise(state, torch.full((1, 1), 1e-9, dtype=torch.float64))
    noisy = denoise(state, torch.full((1, 1), 1e9, dtype=torch.float64))

    assert torch.allclose(still, state)
    assert torch.allclose(noisy, torch.full_like(state, DATA * 3))


def test_the_network_is_called_in_single_precision():
    """On the scaled state, with ln(sigma)/4 of every scale."""
    seen = []
    state = torch.ones((1, 4, 1, 1), dtype=torch.float64)
    sigma = torch.tensor([[0.5, 2.0]], dtype=torch.float64)

    def network(scaled: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        seen.append((scaled, levels))
        return scaled

    denoiser(network, sigma_data=DATA)(state, sigma)

    [(scaled, levels)] = seen
    assert (scaled.dtype, levels.dtype) == (torch.float32, torch.float32)
    assert torch.allclose(levels, sigma.log().float() / 4)
    assert torch.allclose(
        scaled.flatten(), ((0.25 + sigma**2) ** -0.5).float().repeat_interleave(2)
    )


def test_both_coordinates_have_one_denoiser():
    """Noise of growing variance, or a state of constant variance: there and back in 1e-12."""
    sigma = torch.tensor([[0.5, 2.0]], dtype=torch.float64)
    state = torch.randn((3, 4, 1, 1), dtype=torch.float64)
    there = to_variance_preserving(state, sigma)

    assert torch.allclose(to_variance_exploding(there, sigma), state, atol=1e-12)
    assert torch.allclose(there[:, 2:], state[:, 2:] / 5**0.5)


def test_the_answer_does_not_depend_on_the_coordinates():
    """A state of constant variance z asks the same of the network, and gets the same answer.

    There c_skip is s sd^2 / (sigma^2 + sd^2) and c_in is s / sqrt(sigma^2 + sd^2), with
    s = sqrt(1 + sigma^2).
    """
    sigma = torch.tensor([[0.3, 7.0]], dtype=torch.float64)
    z = torch.randn((3, 4, 1, 1), dtype=torch.float64)
    level = sigma.repeat_interleave(2, dim=1)[..., None, None]
    stretch, total = (1 + level**2).sqrt(), level**2 + DATA**2

    def network(scaled: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return scaled.sin()

    found = denoiser(network, sigma_data=DATA)(to_variance_exploding(z, sigma), sigma)

    answer = network((stretch / total.sqrt() * z).float(), sigma).double()
    by_hand = stretch * DATA**2 / total * z + level * DATA / total.sqrt() * answer
    assert torch.allclose(found, by_hand, atol=1e-6)


def test_a_perfect_network_is_the_exact_denoiser():
    """For N(0, `sigma_data`^2) the perfect F is 0: then D is E[x0 | X]."""
    covariance = DATA**2 * torch.eye(2, dtype=torch.float64)
    exact = gaussian_denoiser(torch.zeros(2, dtype=torch.float64), covariance)
    sigma = torch.tensor([[0.3, 7.0]], dtype=torch.float64).expand(5, -1)
    state = torch.randn((5, 2, 1, 1), dtype=torch.float64)

    found = denoiser(lambda scaled, _: torch.zeros_like(scaled), sigma_data=DATA)(state, sigma)

    assert torch.allclose(found, exact(state, sigma), atol=1e-12)
