"""A batch shared by two processes is one batch."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from repro.engine.drift import drift_loss
from repro.spec.objective import DriftField
from tests.engine.drift.batches import assert_close, gaussian

ROOT = Path(__file__).parents[3]


def test_two_processes_drift_as_one(tmp_path: Path):
    """With a process group, scale, energies and gradients are those of all classes together.

    The classes of one process lie far apart from those of the other, so that statistics of either
    alone would be others. The mean of the losses is the loss: each is a mean over its own rows.
    """
    batch = [gaussian(4, 3, num, 8, seed=num, dtype=torch.float32) for num in (6, 7, 2)]
    batch[1][2:] += 4
    weights = torch.tensor([[0.5], [1.0], [2.0], [3.0]]).expand(-1, 2)
    torch.save([*batch, weights.clone()], tmp_path / "batch")

    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.engine.drift.part_of_a_batch", str(rank), "2"),
                *(str(tmp_path / name) for name in ("store", "batch", f"out{rank}")),
            ],
            cwd=ROOT,
            env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]

    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    (first, second) = (torch.load(tmp_path / f"out{rank}", weights_only=True) for rank in range(2))
    x = batch[0].requires_grad_()
    loss, statistics = drift_loss(x, *batch[1:], field=DriftField(), weights=weights)
    loss.backward()
    assert x.grad is not None
    assert_close((first[0] + second[0]) / 2, loss.detach(), tolerance=1e-6)
    assert_close(torch.cat([first[1], second[1]]) / 2, x.grad, tolerance=1e-6)
    for scale, energies in (first[2:], second[2:]):
        assert_close(scale, statistics.scale, tolerance=1e-6)
        torch.testing.assert_close(energies, statistics.energies, rtol=1e-5, atol=0)
