"""Latents on disk, and how training takes them from there."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from attrs import evolve
from safetensors.numpy import save

from repro import digest
from repro.engine.latents.shards import (
    Manifest,
    encode_manifest,
    encode_shard,
    open_shards,
    read_manifest,
)
from repro.engine.objectives.images import examples, latents
from repro.engine.seeds import seeded
from repro.errors import ResourceError

VIEWS = np.arange(10 * 2 * 4 * 3 * 3, dtype=np.float32).reshape(10, 2, 4, 3, 3)
LABELS = np.arange(10) % 3


@pytest.fixture
def manifest():
    return Manifest(
        shape=(4, 3, 3), num_classes=3, num_images=10, origin={"images": "x"}, shards=("a", "b")
    )


def written(folder, manifest, *, cuts=(0, 4, 8, 10)):
    """The paths of the manifest and of the shards between the cuts."""
    paths = []
    for start, end in pairwise(cuts):
        paths.append(folder / f"{start}.safetensors")
        paths[-1].write_bytes(encode_shard(VIEWS[start:end], LABELS[start:end]))
    (folder / "manifest.json").write_bytes(encode_manifest(manifest))
    return folder / "manifest.json", paths


def test_a_manifest_is_read_as_it_was_written(tmp_path, manifest):
    """Nothing is lost on the way."""
    path, _ = written(tmp_path, manifest)

    found, wanted = read_manifest(path), manifest

    assert encode_manifest(found) == encode_manifest(wanted)


def test_the_digest_of_the_data_is_that_of_the_manifest(tmp_path, manifest):
    """It lists the digests of all shards, so it proves them."""
    path, shards = written(tmp_path, manifest)

    assert open_shards(path, shards).digest == digest.sha256_file(path)


def test_any_image_and_view_is_found_in_its_shard(tmp_path, manifest):
    """Number 9 is in the last shard, which is shorter."""
    data = open_shards(*written(tmp_path, manifest))
    chosen, views = np.array([9, 0, 4, 3, 9]), np.array([1, 0, 1, 0, 0])

    found = latents(data, chosen, views)

    assert np.array_equal(found.numpy(), VIEWS[chosen, views])
    assert np.array_equal(data.labels, LABELS)
    assert (data.shape, data.num_classes) == ((4, 3, 3), 3)


def test_shards_are_mapped_not_read(tmp_path, manifest):
    """Data larger than memory can be opened."""
    data = open_shards(*written(tmp_path, manifest))

    assert all(isinstance(each, np.memmap) for each in data.shards)


def test_training_takes_either_view_by_chance(tmp_path, manifest):
    """The image or its mirror image, one time in two; the same again for the same generator."""
    data = open_shards(*written(tmp_path, manifest))
    chosen = np.zeros(400, np.int64)

    first = examples(data, chosen, generator=seeded("views"))
    again = examples(data, chosen, generator=seeded("views"))

    mirrored = float((first == torch.from_numpy(VIEWS[0, 1])).all(dim=(1, 2, 3)).float().mean())
    assert torch.equal(first, again)
    assert 0.4 < mirrored < 0.6


@pytest.mark.parametrize("change", [{"num_images": 11}, {"shape": (3, 4, 3)}])
def test_shards_that_a_manifest_does_not_describe_are_refused(tmp_path, manifest, change):
    """Fewer latents than it says, or of another shape."""
    path, shards = written(tmp_path, evolve(manifest, **change))

    with pytest.raises(ResourceError, match="its shards hold 10 latents"):
        open_shards(path, shards)


@pytest.mark.parametrize("cuts", [(0, 2, 8, 10), (0, 4, 10)])
def test_shards_of_several_sizes_are_refused(tmp_path, manifest, cuts):
    """An image is found by its number; so all shards but the last must be alike."""
    with pytest.raises(ResourceError, match="expected shards of one size and a rest"):
        open_shards(*written(tmp_path, manifest, cuts=cuts))


def test_whole_numbers_are_not_taken_for_latents(tmp_path, manifest):
    """A shard of another type is refused, not reinterpreted."""
    path, shards = written(tmp_path, manifest)
    shards[1].write_bytes(save({"latents": VIEWS[4:8].astype(np.int64), "labels": LABELS[4:8]}))

    with pytest.raises(ResourceError, match="of another shape"):
        open_shards(path, shards)


def test_another_format_is_refused(tmp_path, manifest):
    """A manifest of a later version is not guessed at."""
    path, shards = written(tmp_path, manifest)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "format": "repro-latents-2"}))

    with pytest.raises(ResourceError, match="expected format repro-latents-1"):
        open_shards(path, shards)
