"""Where randomness comes from: generators named by what they are for, one for each image.

Nothing in the engine draws from a stream that another draw can move. A training step derives its
generator from (seed, step, micro-batch), so a resumed training needs no stored generator state; an
image owns its generator, so it does not depend on the batch it was made in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Generator, Tensor

from repro import digest

SEED_BITS = 32  # all that torch's CPU generator (mt19937) keeps of a seed
CPU = torch.device("cpu")


def seeded(*parts: int | str) -> Generator:
    """A CPU generator that is the same for equal parts on every machine."""
    return Generator().manual_seed(_number(parts))


@contextmanager
def global_stream(*parts: int | str, device: torch.device = CPU) -> Iterator[None]:
    """Set torch's own streams from *parts* inside the block; restore those of CPU and *device*.

    For code that takes no generator: parameter initialisation and dropout. `torch.manual_seed`
    would set the same streams, and those of devices that are not there: on a machine without them
    it writes down who asked, which costs more than all else that the loop adds to an update.
    """
    number = _number(parts)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(number)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield


def per_image(seeds: Sequence[int]) -> list[Generator]:
    """One CPU generator for each image, seeded with its number (below 2^32) as it stands.

    Hashing the number would be worse: of 50,000 images two would share their noise with
    probability 0.25, because torch keeps 32 bits.
    """
    return [Generator().manual_seed(seed) for seed in seeds]


def normal(generators: Sequence[Generator], shape: Sequence[int]) -> Tensor:
    """Standard normal noise [len(generators), *shape]; row i draws from generator i only."""
    noise = torch.empty(len(generators), *shape)
    for row, generator in zip(noise, generators, strict=True):
        row.normal_(generator=generator)
    return noise


def _number(parts: Sequence[int | str]) -> int:
    return int(digest.xxh3_128(digest.canonical(list(parts)))[: SEED_BITS // 4], 16)
