"""Torch switches under which equal inputs give equal bits, for as long as a block runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.deterministic

MEMORY: Any = torch.utils.deterministic
"""Torch makes its switch a property of the module, which no type checker sees."""


@contextmanager
def deterministic() -> Iterator[None]:
    """Use deterministic kernels and full float32 inside the block; restore the switches after it.

    TF32 is off because a spec does not name a precision: the same spec must mean the same numbers
    on every device, up to rounding. Memory that nobody has written is left as it is: filling it, as
    torch does under deterministic algorithms, writes every tensor twice.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    before = _switches()
    _set(algorithms=True, fill=False, benchmark=False, cudnn_tf32=False, matmul_tf32=False)
    try:
        yield
    finally:
        _set(**before)


def _switches() -> dict[str, bool]:
    return {
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "fill": MEMORY.fill_uninitialized_memory,
        "benchmark": torch.backends.cudnn.benchmark,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def _set(
    *, algorithms: bool, fill: bool, benchmark: bool, cudnn_tf32: bool, matmul_tf32: bool
) -> None:
    torch.use_deterministic_algorithms(algorithms)
    MEMORY.fill_uninitialized_memory = fill
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.cudnn.allow_tf32 = cudnn_tf32
    torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
