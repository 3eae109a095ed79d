"""STL-10 is read from its official files, and from nothing else."""

import hashlib
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from repro.engine import datasets, resources
from repro.engine.resources.stl10 import decode_stl10
from repro.engine.resources.table import STL10
from repro.engine.resources.tensors import part_digests, write_tensors
from repro.errors import ResourceError
from repro.spec.data import Stl10

RNG = np.random.default_rng(0)
IMAGES = {
    split: RNG.integers(0, 256, (num, 96, 96, 3), np.uint8)
    for split, num in (("train", 3), ("test", 2))
}
LABELS = {"train": np.array([9, 0, 3]), "test": np.array([1, 1])}


def official(folder: Path) -> Mapping[str, str]:
    """The four files in their own layout; their MD5 sums."""
    sums = {}
    for split in ("train", "test"):
        files = {
            f"{split}_X.bin": IMAGES[split].transpose(0, 3, 2, 1).tobytes(),
            f"{split}_y.bin": (LABELS[split] + 1).astype(np.uint8).tobytes(),
        }
        for name, data in files.items():
            (folder / name).write_bytes(data)
            sums[name] = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return sums


def test_a_folder_of_the_official_files(tmp_path: Path):
    """Columns become rows, labels start at 0."""
    arrays = decode_stl10(tmp_path, sums=official(tmp_path))

    for split in ("train", "test"):
        assert np.array_equal(arrays[f"{split}.images"], IMAGES[split])
        assert np.array_equal(arrays[f"{split}.labels"], LABELS[split])


def test_the_official_archive(tmp_path: Path):
    """What else is in it, the hundred thousand images without labels, is not read."""
    sums = official(tmp_path)
    with tarfile.open(tmp_path / "stl10_binary.tar.gz", "w:gz") as archive:
        for name in sums:
            archive.add(tmp_path / name, f"stl10_binary/{name}")
        archive.add(tmp_path / "train_y.bin", "stl10_binary/unlabeled_X.bin")

    arrays = decode_stl10(tmp_path / "stl10_binary.tar.gz", sums=sums)

    assert sorted(arrays) == ["test.images", "test.labels", "train.images", "train.labels"]


def test_another_file_is_refused(tmp_path: Path):
    """One byte tells."""
    sums = official(tmp_path)
    (tmp_path / "test_y.bin").write_bytes(b"\x01\x02")

    with pytest.raises(ResourceError, match=r"test_y\.bin: expected the MD5 sum"):
        decode_stl10(tmp_path, sums=sums)


def test_a_file_that_is_not_there(tmp_path: Path):
    """All four are needed."""
    sums = official(tmp_path)
    (tmp_path / "train_X.bin").unlink()

    with pytest.raises(ResourceError, match=r"lacks train_X\.bin"):
        decode_stl10(tmp_path, sums=sums)


@pytest.mark.parametrize(("split", "num"), [("train", 3), ("test", 2), ("train-and-test", 5)])
def test_the_parts_of_a_cached_copy(tmp_path: Path, split, num):
    """Training and test images, or both, of which the digest is that of their content."""
    (tmp_path / "files").mkdir()
    arrays = decode_stl10(tmp_path / "files", sums=official(tmp_path / "files"))
    digests = part_digests(arrays, STL10.part_of)
    write_tensors(arrays, tmp_path / "stl10.safetensors", metadata=digests)

    data = datasets.load(Stl10(split=split), cache=tmp_path)

    assert resources.present("stl10", tmp_path)
    assert isinstance(data, datasets.Images)
    assert (len(data.labels), data.shape, data.num_classes) == (num, (3, 96, 96), 10)
    assert split == "train-and-test" or data.digest == digests[split]


def test_a_damaged_cached_copy(tmp_path: Path):
    """The digests that were recorded when it was brought are held at every reading."""
    (tmp_path / "files").mkdir()
    arrays = decode_stl10(tmp_path / "files", sums=official(tmp_path / "files"))
    digests = {**part_digests(arrays, STL10.part_of), "train": "sha256:" + "0" * 64}
    write_tensors(arrays, tmp_path / "stl10.safetensors", metadata=digests)

    with pytest.raises(ResourceError, match="the cached file is damaged"):
        datasets.load(Stl10(), cache=tmp_path)
