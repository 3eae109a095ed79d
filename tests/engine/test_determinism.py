"""Torch's switches are set for a block and put back."""

import pytest
import torch

from repro.engine.determinism import MEMORY, deterministic


def test_inside_the_block():
    """Deterministic kernels and full float32 hold inside."""
    with deterministic():
        inside = (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.allow_tf32,
            torch.backends.cuda.matmul.allow_tf32,
        )

    assert inside == (True, False, False, False)


def test_fresh_memory_is_not_written():
    """Torch would fill every new tensor first, which doubles the writing."""
    before = MEMORY.fill_uninitialized_memory

    with deterministic():
        inside = MEMORY.fill_uninitialized_memory

    assert inside is False
    assert MEMORY.fill_uninitialized_memory is before


def test_after_an_error():
    """The switches are put back even when the block fails."""
    before = torch.backends.cudnn.allow_tf32

    with pytest.raises(KeyError), deterministic():
        raise KeyError

    assert torch.backends.cudnn.allow_tf32 is before
    assert not torch.are_deterministic_algorithms_enabled()
