"""Latents on disk: shards of safetensors, and the manifest that lists them.

A shard holds `latents` (float32, [n, V, c, h, w]: view 0 is the image, view 1 its mirror image, or
random parts of it, each before its mirror image; all already times the scaling factor) and `labels`
(int64, [n]). The manifest is canonical JSON: what was encoded by what, and the SHA-256 digest of
each shard in order. Its own digest is that of the whole data set.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from safetensors.numpy import save

from repro import digest
from repro.engine.datasets import EncodedImages
from repro.errors import ResourceError

FORMAT = "repro-latents-1"


@frozen(kw_only=True, eq=False)
class Manifest:
    """What the shards hold; `origin` says what was encoded, by what, and how."""

    shape: tuple[int, int, int]
    num_classes: int
    num_images: int
    origin: Mapping[str, Any]
    shards: tuple[str, ...]


def encode_shard(latents: NDArray[np.float32], labels: NDArray[np.int64]) -> bytes:
    """The file of a shard; equal arrays give equal bytes."""
    return save({"latents": np.ascontiguousarray(latents), "labels": labels})


def encode_manifest(manifest: Manifest) -> bytes:
    """The file of a manifest."""
    return digest.canonical(
        {
            "format": FORMAT,
            "shape": manifest.shape,
            "num_classes": manifest.num_classes,
            "num_images": manifest.num_images,
            "origin": manifest.origin,
            "shards": manifest.shards,
        }
    )


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file that has been held to its digest.

    Raises:
        ResourceError: the file is of another format.
    """
    data = json.loads(path.read_bytes())
    if data.get("format") != FORMAT:
        raise ResourceError(f"{path}: expected format {FORMAT}, got {data.get('format')!r}")
    channels, height, width = data["shape"]
    return Manifest(
        shape=(channels, height, width),
        num_classes=data["num_classes"],
        num_images=data["num_images"],
        origin=data["origin"],
        shards=tuple(data["shards"]),
    )


def open_shards(manifest: Path, shards: Sequence[Path]) -> EncodedImages:
    """The data set of a manifest and its shards, which have been held to their digests.

    Raises:
        ResourceError: the shards do not hold what the manifest says.
    """
    said = read_manifest(manifest)
    arrays = [_mapped(path) for path in shards]
    latents = tuple(each["latents"] for each in arrays)
    labels = np.concatenate([np.array(each["labels"]) for each in arrays])
    others = [path for path, each in zip(shards, latents, strict=True) if _other(each, said)]
    sizes = [len(each) for each in latents]
    if others or sum(sizes) != said.num_images or len(labels) != said.num_images:
        found = f"{sum(sizes)} latents" + (f", of another shape in {others[0]}" if others else "")
        expected = f"{said.num_images} of shape {list(said.shape)}"
        raise ResourceError(f"{manifest}: lists {expected}; its shards hold {found}")
    if set(sizes[:-1]) - {sizes[0]} or sizes[-1] > sizes[0]:
        raise ResourceError(f"{manifest}: expected shards of one size and a rest, got {sizes}")
    return EncodedImages(
        shards=latents,
        labels=labels,
        num_classes=said.num_classes,
        digest=digest.sha256_file(manifest),
    )


def _other(latents: NDArray[Any], said: Manifest) -> bool:
    return latents.dtype != np.float32 or latents.ndim != 5 or latents.shape[2:] != said.shape


def _mapped(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a shard, mapped: what is not asked for is not read."""
    with path.open("rb") as file:
        head_bytes = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(head_bytes))
    types: Mapping[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
    return {
        name: np.memmap(
            path,
            dtype=types[each["dtype"]],
            mode="r",
            offset=8 + head_bytes + each["data_offsets"][0],
            shape=tuple(each["shape"]),
        )
        for name, each in head.items()
        if name != "__metadata__"
    }
