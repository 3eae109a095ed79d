"""The labelled part of STL-10, from its official files.

Images lie column by column, channel after channel; labels count from 1. Here they become
"train.images" and "test.images", uint8 [N, 96, 96, 3], and "train.labels" and "test.labels", int64
[N] from 0.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from repro.engine.resources.members import read_members
from repro.engine.resources.tensors import Arrays
from repro.errors import ResourceError

SIDE = 96

PUBLISHED: Mapping[str, str] = {
    "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
    "train_y.bin": "5a34089d4802c674881badbb80307741",
    "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
    "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
}
"""The MD5 sums that torchvision has of the official files. They prove no intent, only accident."""


def decode_stl10(path: Path, *, sums: Mapping[str, str] = PUBLISHED) -> Arrays:
    """The four files of an archive or a folder, held to their published *sums*.

    Raises:
        ResourceError: when *path* does not hold all four as they were published.
    """
    files = read_members(path, list(sums))
    if missing := sums.keys() - files.keys():
        raise ResourceError(f"{path}: lacks {', '.join(sorted(missing))}")
    found = {
        name: hashlib.md5(data, usedforsecurity=False).hexdigest() for name, data in files.items()
    }
    problems = [
        f"{path}: {name}: expected the MD5 sum {expected}, got {found[name]}"
        for name, expected in sums.items()
        if found[name] != expected
    ]
    if problems:
        raise ResourceError(*problems)
    arrays: Arrays = {}
    for split in ("train", "test"):
        columns = np.frombuffer(files[f"{split}_X.bin"], np.uint8).reshape(-1, 3, SIDE, SIDE)
        arrays[f"{split}.images"] = np.ascontiguousarray(columns.transpose(0, 3, 2, 1))
        labels = np.frombuffer(files[f"{split}_y.bin"], np.uint8)
        arrays[f"{split}.labels"] = labels.astype(np.int64) - 1
    return arrays
