"""Second-order steps, one level for every scale; held to Gaussians whose answer is exact."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from repro.engine.edm.codec import on_channels
from repro.engine.edm.exact import frechet, gaussian_denoiser, two_scales
from repro.engine.edm.precondition import to_variance_exploding, to_variance_preserving
from repro.engine.networks.unet2d_sigma import unet2d_sigma
from repro.engine.paths.grid import Grid
from repro.engine.paths.table import table
from repro.engine.randomness import Randomness
from repro.engine.samplers.heun import heun, integrate, on_unit_circle, started
from repro.engine.sampling import sample_images
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import RunError
from repro.spec.edm import Churn, Edm, Heun, Prior, TorusPyramid, UNet2DSigma
from repro.spec.objective import Denoise
from repro.spec.path import Lead, MatchedLead, Sync, Truncated
from repro.spec.sample import FromCheckpoint

GRID = Grid(steps=18)
STD = 0.5
FIRST_SLOPES = {9: -0.30100, 18: -0.15392, 36: -0.07799, 72: -0.03924, 144: -0.01968}
RELATIVE_ERRORS = {9: 0.27814, 18: 0.05527, 36: 0.01221, 72: 0.00287, 144: 0.00069, 288: 0.00016}


def scalar(state: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """E[x0 | X] of N(0, 0.25)."""
    return STD**2 / (STD**2 + on_channels(sigma, state) ** 2) * state


def column(steps: int) -> np.ndarray:
    return table(Sync(), Grid(steps=steps), num_scales=1)


@pytest.mark.parametrize(("steps", "error"), RELATIVE_ERRORS.items())
def test_the_error_falls_with_the_square_of_the_steps(steps: int, error: float):
    """Golden: the deviation of N(0, 0.25), sampled with its exact denoiser, against 0.5."""
    start = torch.full((1, 1, 1, 1), math.hypot(80, STD), dtype=torch.float64)

    found = integrate(scalar, start, column(steps)) / STD - 1

    assert float(found) == pytest.approx(error, abs=1e-5)


@pytest.mark.parametrize(("ahead", "error"), [(0, 0.0553), (5, 0.0011), (8, -0.2059)])
def test_stopping_early_narrows_what_few_steps_widen(ahead: int, error: float):
    """Golden: the same deviation after 18 steps that end earlier; at five levels the two cancel."""
    start = torch.full((1, 1, 1, 1), math.hypot(80, STD), dtype=torch.float64)

    found = integrate(scalar, start, table(Truncated(ahead=ahead), GRID, num_scales=1)) / STD - 1

    assert float(found) == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize(("steps", "error"), FIRST_SLOPES.items())
def test_the_library_goes_down_the_same_levels(steps: int, error: float):
    """Golden: by first slopes alone, as `EDMEulerScheduler` steps, the error halves with the steps.

    For N(0, `sigma_data`^2) the perfect network puts out 0.
    """
    ensure_torchvision_importable()
    from diffusers import EDMEulerScheduler

    library: Any = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, sigma_data=STD, rho=7.0)
    library.set_timesteps(steps)
    state = torch.full((1, 1, 1, 1), math.hypot(80, STD))

    for level in library.timesteps:
        state = library.step(torch.zeros_like(state), level, state).prev_sample

    assert library.sigmas[:-1].tolist() == pytest.approx(column(steps)[:, 0].tolist(), rel=1e-4)
    assert float(state) / STD - 1 == pytest.approx(error, abs=1e-4)


def test_there_are_two_calls_a_step_but_one_in_the_last():
    """35 for 18 steps, as published."""
    calls = []

    def counted(state: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        calls.append(float(sigma[0, 0]))
        return scalar(state, sigma)

    integrate(counted, torch.ones((1, 1, 1, 1), dtype=torch.float64), column(18))

    assert len(calls) == 2 * 18 - 1


def by_hand(state: torch.Tensor, levels: np.ndarray) -> torch.Tensor:
    """The study's sampler as it is written: states of constant variance between the steps."""
    rows = torch.cat([torch.as_tensor(levels), torch.zeros(1, levels.shape[1])])
    z = to_variance_preserving(state, rows[:1])
    for index, (here, there) in enumerate(pairwise(rows)):
        x = to_variance_exploding(z, here[None])
        sigma, change = on_channels(here[None], x), on_channels((there - here)[None], x)
        slope = (x - scalar(x, here[None])) / sigma
        ahead = x + change * slope
        if index < len(levels) - 1:
            ahead = to_variance_exploding(to_variance_preserving(ahead, there[None]), there[None])
            end = (ahead - scalar(ahead, there[None])) / on_channels(there[None], x)
            ahead = x + change * (slope + end) / 2
        z = to_variance_preserving(ahead, there[None])
    return z


@pytest.mark.parametrize("path", [Sync(), Lead(ahead=5), MatchedLead(ahead=9)])
def test_it_is_the_sampler_of_the_study(path):
    """States of growing or of constant variance: the same steps to 1e-10."""
    levels = table(path, GRID, num_scales=3)
    state = torch.randn(
        (4, 6, 1, 1), dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )

    assert torch.allclose(integrate(scalar, state, levels), by_hand(state, levels), atol=1e-10)


def test_equal_levels_are_one_level():
    """Three scales that go together move as one does."""
    state = torch.randn((4, 6, 1, 1), dtype=torch.float64)
    together, alone = (
        integrate(scalar, state, table(Sync(), GRID, num_scales=num)) for num in (3, 1)
    )

    assert torch.allclose(together, alone, atol=1e-10)


def test_a_scale_that_waits_is_not_moved():
    """While its level stays, its part of the state stays, in every bit."""
    levels = np.array([[80.0, 5.0], [40.0, 5.0]])
    state = torch.randn((2, 4, 1, 1), dtype=torch.float64)
    seen = []

    def watched(now: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.append(now.clone())
        return scalar(now, sigma)

    integrate(watched, state, levels)

    assert all(torch.equal(each[:, 2:], state[:, 2:]) for each in seen)
    assert not torch.equal(seen[1][:, :2], state[:, :2])


def distance_of_finest(path, *, std: float = STD, grid: Grid = GRID) -> float:
    """Squared Frechet distance of eight pixels, sampled beside their block means, to the truth."""
    covariance = two_scales(std=std)
    levels = table(path, grid, num_scales=2)
    start = torch.as_tensor(levels[0]).repeat_interleave(8).diag()
    ended = integrate(
        gaussian_denoiser(torch.zeros(16, dtype=torch.float64), covariance),
        start[..., None, None],
        levels,
    ).flatten(1)
    return frechet((ended.T @ ended)[:8, :8], covariance[:8, :8])


TABLE = {
    Lead: (3.9e-3, 3.1e-3, 2.5e-3, 1.8e-3, 1.8e-3, 5.7e-3, 1.8e-2, 5.9e-2, 1.3e-1),
    Truncated: (3.9e-3, 3.0e-3, 2.3e-3, 1.5e-3, 1.5e-3, 5.4e-3, 1.7e-2, 6.3e-2, 2.2e-1),
    MatchedLead: (3.9e-3, 4.0e-3, 4.3e-3, 4.3e-3, 4.2e-3, 3.9e-3, 3.2e-3, 3.4e-3, 9.7e-1),
}
AHEAD = (0, 1, 2, 3, 4, 5, 6, 8, 12)


@pytest.mark.parametrize("path", TABLE)
def test_truncation_alone_gives_the_curve_of_leading(path):
    """Golden: leading and truncating have one U-shaped curve; leading alone has none."""
    found = [distance_of_finest(path(ahead=ahead)) for ahead in AHEAD]

    assert found == pytest.approx(TABLE[path], rel=0.04)


@pytest.mark.parametrize(("std", "best"), [(0.3, 3), (0.5, 4), (0.7, 4)])
def test_where_truncation_is_best_depends_on_the_data(std: float, best: int):
    """Golden: it cancels an error of the sampler, of which the data's spread decides."""
    found = [distance_of_finest(Truncated(ahead=ahead), std=std) for ahead in range(9)]

    assert int(np.argmin(found)) == best


@pytest.mark.parametrize("path", [Sync(), MatchedLead(ahead=5)])
def test_any_path_is_exact_in_the_limit(path):
    """Golden: with steps enough no path is better than another."""
    assert distance_of_finest(path, grid=Grid(steps=2000)) < 2e-7


def state_of(prior: Prior, scale: float) -> torch.Tensor:
    noise = torch.randn(
        (512, 18, 8, 8), dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    levels = table(Sync(), GRID, num_scales=3)
    states = started(Heun(prior=prior, prior_scale=scale), noise, levels)
    return to_variance_preserving(states, torch.as_tensor(levels[:1]))


@pytest.mark.parametrize(
    ("prior", "scale", "std", "kurtosis"),
    [
        ("unit-circle", 1.4, 0.98995, 1.5),
        ("gaussian", 1.4, 1.4, 3.0),
        ("gaussian", 1.0, 1.0, 3.0),
    ],
)
def test_the_prior_has_its_spread(prior, scale, std, kurtosis):
    """Golden: points of a circle, times 1.4, have nearly the deviation that they must have."""
    state = state_of(prior, scale)

    assert float(state.std()) == pytest.approx(std, rel=3e-3)
    assert float(state.pow(4).mean() / state.var() ** 2) == pytest.approx(kurtosis, rel=0.01)


def test_the_circles_of_the_prior_are_not_those_of_the_data():
    """Channels c and c + 9 of 18 are paired; the codec pairs c and c + 3 of every six."""
    noise = torch.randn((2, 18, 1, 1), dtype=torch.float64)
    paired = on_unit_circle(noise)

    assert torch.allclose(
        paired[:, :9] ** 2 + paired[:, 9:] ** 2, torch.ones(()).double(), atol=1e-4
    )
    assert not torch.allclose(paired[:, 0] ** 2 + paired[:, 3] ** 2, torch.ones(()).double())


def moments(churn: Churn) -> tuple[float, float]:
    generator = torch.Generator().manual_seed(0)

    def draw() -> torch.Tensor:
        return torch.randn((4096, 1, 1, 1), dtype=torch.float64, generator=generator)

    levels = column(64)
    ended = integrate(scalar, levels[0, 0] * draw(), levels, churn=churn, draw=draw)
    return float(ended.mean()), float(ended.std())


def test_churn_samples_the_same_law():
    """Noise put back and taken away again: N(0, 0.25) as without."""
    mean, std = moments(Churn(amount=30.0))

    assert abs(mean) < 4 * STD / 64
    assert std == pytest.approx(STD, rel=0.05)


def test_churn_acts_between_its_levels_only():
    """Outside of them no noise is drawn."""
    drawn = []

    def draw() -> torch.Tensor:
        drawn.append(1)
        return torch.zeros(1, 1, 1, 1, dtype=torch.float64)

    churn = Churn(amount=30.0, from_sigma=0.05, to_sigma=1.0)
    integrate(
        scalar, torch.ones(1, 1, 1, 1, dtype=torch.float64), column(18), churn=churn, draw=draw
    )

    levels = column(18)
    assert len(drawn) == int(((levels >= 0.05) & (levels <= 1)).sum())


@pytest.mark.parametrize(("amount", "more"), [(0.3, 1.15), (10.0, 2**0.5)])
def test_churn_puts_back_what_the_paper_says(amount: float, more: float):
    """Levels rise by S_churn / N, or by sqrt(2) - 1 at most; noise is S_noise times the difference.

    Of two scales the noisiest decides: the other lies below `from_sigma`.
    """
    seen = []

    def watched(state: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.append((state.flatten().tolist(), sigma.flatten().tolist()))
        return torch.zeros_like(state)

    integrate(
        watched,
        torch.zeros((1, 2, 1, 1), dtype=torch.float64),
        np.array([[1.0, 0.5], [0.1, 0.1]]),
        churn=Churn(amount=amount, from_sigma=0.8, scale=1.2),
        draw=lambda: torch.ones((1, 2, 1, 1), dtype=torch.float64),
    )

    state, sigma = seen[0]
    assert sigma == pytest.approx([more, more / 2])
    assert state == pytest.approx([1.2 * (more**2 - 1) ** 0.5 * level for level in (1.0, 0.5)])


class FakeBatch:
    """Six images of two channels of 2 x 2 torus pixels."""

    labels = torch.zeros(6, dtype=torch.int64)

    def start(self):
        raise NotImplementedError

    def noise(self, shape=None):
        del shape
        return torch.randn((6, 6, 4, 4), generator=torch.Generator().manual_seed(0))


def test_images_come_out():
    """One channel of three scales: the first scale, decoded, in single precision."""
    seen = []

    def network(state: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        seen.append((state.dtype, tuple(levels.shape)))
        return torch.zeros_like(state)

    images = heun(Heun(steps=3), network, FakeBatch(), objective=Edm(codec=TorusPyramid()))

    assert images.shape == (6, 1, 4, 4)
    assert images.dtype == torch.float32
    assert set(seen) == {(torch.float32, (6, 3))}
    assert len(seen) == 5


def test_it_is_for_its_own_objective():
    """Levels of another kind mean something else."""
    with pytest.raises(RunError, match="heun needs a network of objective edm, got denoise"):
        heun(Heun(), lambda *_: _[0], FakeBatch(), objective=Denoise())


def test_no_noise_is_drawn_without_churn():
    """Equal starts give equal samples, in every bit."""
    start = torch.randn((2, 1, 1, 1), dtype=torch.float64)

    first, second = (integrate(scalar, start, column(5)) for _ in range(2))

    assert torch.equal(first, second)
    assert math.isfinite(float(first.sum()))


def test_an_image_depends_on_its_own_seed_alone():
    """Alone, or among others, in batches of any size: the same byte for byte, to one."""
    torch.manual_seed(0)
    spec = UNet2DSigma(
        num_scales=3,
        channels=(8, 8),
        attention=(False, False),
        layers_per_block=1,
        norm_groups=4,
        embedding_dim=16,
    )
    network = unet2d_sigma(spec, (6, 8, 8))

    def sampled(num: int, *, seed: int, batch_size: int) -> np.ndarray:
        return sample_images(
            FromCheckpoint(sampler=Heun(steps=3), num_samples=num, seed=seed),
            network,
            objective=Edm(codec=TorusPyramid()),
            randomness=Randomness(noise_shape=(6, 8, 8)),
            num_classes=10,
            batch_size=batch_size,
            advance=lambda *_: None,
        ).images.astype(int)

    together, apart = (sampled(5, seed=7, batch_size=size) for size in (5, 2))

    assert np.abs(together - apart).max() <= 1
    assert np.abs(sampled(2, seed=9, batch_size=1)[0] - together[2]).max() <= 1
