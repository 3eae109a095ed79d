"""Torch switches under which equal inputs give equal bits, for as long as a block runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def deterministic() -> Iterator[None]:
    """Use deterministic kernels and full float32 inside the block; restore the switches after it.

    TF32 is off because a spec does not name a precision: the same spec must mean the same numbers
    on every device, up to rounding.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    before = _switches()
    _set(algorithms=True, benchmark=False, cudnn_tf32=False, matmul_tf32=False)
    try:
        yield
    finally:
        _set(**before)


def _switches() -> dict[str, bool]:
    return {
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def _set(*, algorithms: bool, benchmark: bool, cudnn_tf32: bool, matmul_tf32: bool) -> None:
    torch.use_deterministic_algorithms(algorithms)
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.cudnn.allow_tf32 = cudnn_tf32
    torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
