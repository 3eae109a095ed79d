"""One of the processes that share a batch; arguments: RANK PROCESSES STORE BATCH OUT."""

import sys

import torch
from torch import distributed

from repro.engine.drift import drift_loss
from repro.spec.objective import DriftField


def main() -> None:
    """Take this process's classes of the batch; leave the gradient and the statistics."""
    rank, processes = (int(each) for each in sys.argv[1:3])
    store, batch, out = sys.argv[3:]
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=processes
    )
    x, positives, unconditional, weights = (
        each.chunk(processes)[rank].clone() for each in torch.load(batch, weights_only=True)
    )
    x.requires_grad_()
    loss, statistics = drift_loss(
        x, positives, unconditional, field=DriftField(), weights=weights, rows_per_chunk=3
    )
    loss.backward()
    torch.save([loss.detach(), x.grad, statistics.scale, statistics.energies], out)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
