"""Samplers are checked on a Gaussian whose answer is known in closed form."""

import pytest
import torch
from attrs import evolve

from repro.engine.calibrate import calibrate, refuse_biased
from repro.engine.samplers.ddim import ddpm
from repro.engine.schedules import forward_process
from repro.errors import RunError
from repro.spec.objective import CosineSchedule, Denoise, LinearSchedule, NoiseSchedule
from repro.spec.sample import AdjacentStrided, Ddim, Ddpm, DenoisingSampler, MeanScaled

LINEAR = LinearSchedule()
COSINE = CosineSchedule(num_levels=500)


@pytest.mark.parametrize(
    ("sampler", "schedule", "mean", "std"),
    [
        (Ddpm(steps=1000), LINEAR, 0.3000, 0.4961),
        (Ddim(steps=1000), LINEAR, 0.2990, 0.4985),
        (Ddpm(steps=50), LINEAR, 0.3000, 0.4441),
        (Ddim(steps=50), LINEAR, 0.2991, 0.4714),
        (Ddpm(steps=20), LINEAR, 0.3000, 0.3915),
        (Ddim(steps=20), LINEAR, 0.2992, 0.4314),
        (AdjacentStrided(steps=50), LINEAR, 0.0413, 0.9361),
        (AdjacentStrided(steps=20), LINEAR, 0.0167, 0.9743),
        (MeanScaled(eta=1.0), COSINE, 0.3000, 0.4960),
        (MeanScaled(eta=0.0), COSINE, 0.3000, 0.00002),
        (Ddpm(steps=500), COSINE, 0.3000, 0.4961),
        (Ddim(steps=500), COSINE, 0.29999, 0.4984),
    ],
)
def test_golden(sampler: DenoisingSampler, schedule: NoiseSchedule, mean: float, std: float):
    """The closed form of every sampler, to the fourth digit (few steps: trailing spacing)."""
    result = calibrate(sampler, schedule)

    assert (result.mean, result.std) == pytest.approx((mean, std), abs=6e-5)


@pytest.mark.parametrize(
    ("steps", "ddpm_std", "ddim_std"), [(50, 0.4433, 0.4720), (20, 0.3878, 0.4307)]
)
def test_golden_of_the_study_s_spacing(
    steps: int, ddpm_std: float, ddim_std: float, monkeypatch: pytest.MonkeyPatch
):
    """On the levels of the E7 study (evenly spaced from 0, truncated) the spread is a bit less."""
    levels = torch.linspace(0, 999, steps).long().tolist()
    monkeypatch.setattr("repro.engine.samplers.ddim.trailing_levels", lambda *_: levels)

    got = [calibrate(kind(steps=steps), LINEAR).std for kind in (Ddpm, Ddim)]

    assert got == pytest.approx([ddpm_std, ddim_std], abs=6e-5)


@pytest.mark.parametrize(
    ("sampler", "schedule"),
    [
        (Ddpm(steps=1000), LINEAR),
        (Ddpm(steps=50), LINEAR),
        (Ddpm(steps=20), LINEAR),
        (Ddim(steps=10), LINEAR),
        (Ddim(steps=30, eta=0.5), LINEAR),
        (Ddpm(steps=10), COSINE),
        (Ddim(steps=7), COSINE),
        (MeanScaled(eta=1.0), COSINE),
        (AdjacentStrided(steps=1000), LINEAR),
    ],
)
def test_correct_samplers_pass(sampler: DenoisingSampler, schedule: NoiseSchedule):
    """Few steps are no fault, and neither is the strided sampler when its stride is one."""
    assert calibrate(sampler, schedule).passed


@pytest.mark.parametrize(
    ("sampler", "schedule"),
    [
        (AdjacentStrided(steps=50), LINEAR),
        (AdjacentStrided(steps=500), LINEAR),
        (MeanScaled(eta=0.0), COSINE),
        (MeanScaled(eta=0.9), COSINE),
        (Ddim(steps=2), LINEAR),
        (Ddpm(steps=10), LINEAR),
        (Ddim(steps=50), LinearSchedule(num_levels=100)),
    ],
)
def test_biased_samplers_are_refused(sampler: DenoisingSampler, schedule: NoiseSchedule):
    """A wrong step, a wrong variance, too few steps and a schedule that ends too early all fail."""
    with pytest.raises(RunError, match="allow_biased = true"):
        refuse_biased(calibrate(sampler, schedule), sampler, schedule)


def test_a_spec_may_allow_a_biased_sampler():
    """A study of a biased sampler can be repeated, on purpose."""
    sampler = AdjacentStrided(steps=50, allow_biased=True)
    result = calibrate(sampler, LINEAR)

    refuse_biased(result, sampler, LINEAR)

    assert not result.passed


def test_the_message():
    """It says what came out, what was expected and what to do."""
    sampler = AdjacentStrided(steps=50)

    with pytest.raises(RunError) as caught:
        refuse_biased(calibrate(sampler, LINEAR), sampler, LINEAR)

    assert str(caught.value) == (
        "calibrate: ddpm-adjacent-strided with 50 network calls on 1000 levels of the linear "
        "schedule turns a perfect network of N(0.3, 0.5^2) into N(0.0413, 0.9361^2): errors "
        "-0.517 (mean) and +0.872 (spread), expected at most 0.050 and 0.143; take more steps or "
        "another sampler, or say allow_biased = true"
    )


def test_a_result_that_is_not_a_number_fails():
    """NaN is within no tolerance."""
    result = calibrate(Ddim(), LINEAR)

    assert not evolve(result, std=float("nan"), std_error=float("nan")).passed


@pytest.mark.parametrize("schedule", [LINEAR, CosineSchedule(num_levels=1000)])
@pytest.mark.parametrize("steps", [1, 2, 5, 7, 333])
def test_every_number_of_steps_is_finite(steps: int, schedule: NoiseSchedule):
    """No rounding error ends under a square root at eta 1."""
    result = calibrate(Ddpm(steps=steps), schedule)

    assert abs(result.std_error) <= 1


def test_calls_are_counted():
    """Network calls are counted where they happen."""
    counts = [calibrate(each, COSINE).nfe for each in (Ddim(steps=33), MeanScaled())]

    assert counts == [33, 500]


def test_impulses_agree_with_samples():
    """Fifty thousand draws through the same sampler have the moments that impulses give."""
    sampler = Ddpm(steps=20, clip=False)
    abar = forward_process(LINEAR).alphas_cumprod
    generator = torch.Generator().manual_seed(0)

    def draw() -> torch.Tensor:
        return torch.randn(50_000, 1, 1, 1, generator=generator)

    def perfect(z: torch.Tensor, level: int) -> torch.Tensor:
        a, s = abar[level].sqrt(), (1 - abar[level]).sqrt()
        return torch.as_tensor(s * (z - a * 0.3) / (0.25 * a**2 + s**2))

    samples = ddpm(sampler, perfect, draw(), process=Denoise(), draw=draw)

    exact = calibrate(sampler, LINEAR)
    assert float(samples.mean()) == pytest.approx(exact.mean, abs=0.01)
    assert float(samples.std()) == pytest.approx(exact.std, abs=0.01)
