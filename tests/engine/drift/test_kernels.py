"""The drift of a chunk is fused where that was measured to be faster, and nowhere else."""

import pytest
import torch
from torch import Tensor

from repro.engine.drift import compute_drift, kernels
from repro.engine.drift.affinity import drift_at
from repro.engine.drift.kernels import Kernel, Move
from repro.spec.objective import DriftField

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def fused(*_: object) -> Tensor:
    raise AssertionError("only its name is needed")


class Times(dict[Move, float]):
    """How long a program takes, and a clock that only moves when one runs."""

    now = 0.0

    def trial(self, move: Move) -> None:
        self.now += self[move]


@pytest.fixture
def times(monkeypatch):
    """A second for either."""
    times = Times({drift_at: 1.0, fused: 1.0})
    monkeypatch.setattr(kernels, "fused", lambda: fused)
    monkeypatch.setattr(kernels, "_clock", lambda _: times.now)
    return times


@pytest.mark.parametrize(("fused_s", "chosen"), [(0.5, fused), (2.0, drift_at), (1.0, drift_at)])
def test_the_faster_is_chosen(times, fused_s, chosen):
    """On a tie what needs no compiler."""
    times[fused] = fused_s

    assert Kernel().chosen(CUDA, times.trial) is chosen


def test_it_is_chosen_once(times):
    """Speeds vary; the bits of a training must not."""
    times[fused], kernel = 0.5, Kernel()
    kernel.chosen(CUDA, times.trial)
    times[fused] = 2.0

    assert kernel.chosen(CUDA, times.trial) is fused


def test_a_choice_that_was_restored_is_kept(times):
    """A resumed training goes on with the bits that it began with."""
    times[fused], kernel = 2.0, Kernel()
    kernel.choice.copy_(torch.tensor([kernels.FUSED]))

    assert kernel.chosen(CUDA, times.trial) is fused


def test_the_time_to_compile_does_not_count(times):
    """It is spent once."""
    times[fused] = 100.0

    def trial(move):
        times.trial(move)
        times[fused] = 0.5

    assert Kernel().chosen(CUDA, trial) is fused


def test_without_a_compiler_it_goes_call_by_call(times):
    """Torch says so by a RuntimeError."""

    def trial(move):
        if move is fused:
            raise RuntimeError("no Triton")

    assert Kernel().chosen(CUDA, trial) is drift_at


def test_on_a_cpu_nothing_is_tried():
    """There the choice was measured before, and is the same for everybody."""
    kernel = Kernel()

    assert kernel.chosen(CPU, fused) is drift_at
    assert kernel.choice.item() == kernels.NOT_CHOSEN


def batch(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, positives, negatives = (torch.randn(2, 3, n, 4, generator=generator) for n in (6, 5, 3))
    return x.to(device), positives.to(device), negatives.to(device)


FIELDS = [
    DriftField(),
    DriftField(rule="algorithm-2", temperatures=(0.5,), affinity_floor=0.0),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # torch's own
@pytest.mark.parametrize("field", FIELDS)
def test_fused_it_is_the_same_field(field):
    """To rounding; compiled for the CPU, where a compiler is."""
    expected, found = (
        compute_drift(*batch(CPU), field=field, repel_each_other=True, move=move).field
        for move in (drift_at, kernels.fused())
    )

    assert torch.allclose(found, expected, atol=2e-6)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # torch's own
@pytest.mark.parametrize("field", FIELDS)
def test_on_a_gpu_it_is_the_field_of_the_cpu(field):
    """Fused and call by call, to what float32 gives."""
    expected = compute_drift(*batch(CPU), field=field, repel_each_other=True).field

    for move in (drift_at, kernels.fused()):
        found = compute_drift(*batch(CUDA), field=field, repel_each_other=True, move=move)
        assert torch.allclose(found.field.cpu(), expected, atol=1e-5)
