"""Encoding a data set once, before training: shards of latents that training reads in its place.

Each shard is on record as soon as it is stored, so an interrupted encoding goes on after the last.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.engine.builders import builder_of
from repro.engine.datasets import EncodedImages, Images
from repro.engine.determinism import deterministic
from repro.engine.enlarge import enlarged
from repro.engine.execution import Execution
from repro.engine.latents import autoencoder as coder
from repro.engine.latents.shards import Manifest, encode_manifest, encode_shard, open_shards
from repro.engine.objectives.images import signed
from repro.engine.progress import Advance
from repro.engine.seeds import seeded
from repro.engine.stages.prepare import load_images
from repro.engine.stages.resume import note_other_place
from repro.errors import RunError
from repro.ledger import history, store
from repro.ledger.records import Artifact
from repro.spec import Stage
from repro.spec.data import Latents

SHARD_IMAGES = 1024
"""Of 32 x 32 x 4 latents with flips, 32 MiB: what an interruption may cost."""

BATCH_SIZE = 8
"""Network inputs at once, always: kernels round by it."""

SHARDS, MANIFEST = "latents", "manifest"


def encode(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Encode every image; return what a training must know, as `prepare` does."""
    spec: Latents = stage.spec
    images = load_images(execution, spec.images)
    saved = history.saved_artifacts(
        execution.root, stage.stage_id, role=SHARDS, rehearsal=execution.rehearsal
    )
    kept = _whole(saved.artifacts if saved else ())
    for each in kept:
        store.check(execution.root, each.sha256)
        execution.record(each)  # said again, so that this execution stands alone
    if saved and kept:
        after = {"after_shards": len(kept)}
        note_other_place(execution, stage, saved.execution_id, saved.provenance, after=after)
    kept += _encoded(execution, stage, images, first=len(kept))
    shape = kept[0].facts["shape"]
    manifest = Manifest(
        shape=tuple(shape),
        num_classes=images.num_classes,
        num_images=len(images.labels),
        origin={"images": images.digest, "spec": stage.payload},
        shards=tuple(each.sha256 for each in kept),
    )
    stored = execution.keep(
        stage,
        store.put_bytes(execution.root, encode_manifest(manifest)),
        role=MANIFEST,
        name="manifest.json",
        media_type="application/json",
    )
    return {
        "digest": stored.sha256,
        "num_classes": images.num_classes,
        "num_images": len(images.labels),
        "shape": shape,
        "num_shards": len(kept),
        "resumed_from": saved.execution_id if saved and kept else None,
    }


def load_latents(execution: Execution, stage: Stage) -> EncodedImages:
    """What a finished encode stage left, every shard held to its digest once an execution."""
    if stage.stage_id not in execution.datasets:
        shards = [each for each in execution.done[stage.stage_id].artifacts if each.role == SHARDS]
        with execution.progress.track(f"verify {stage.name}", len(shards)) as advance:
            paths = []
            for each in sorted(shards, key=lambda shard: shard.name):
                paths.append(store.check(execution.root, each.sha256))
                advance(1)
        manifest = execution.path_of(stage, MANIFEST)
        execution.datasets[stage.stage_id] = open_shards(manifest, paths)
    data: EncodedImages = execution.datasets[stage.stage_id]
    return data


def open_autoencoder(execution: Execution, spec: Latents) -> Any:
    """The autoencoder of a data set of latents, on the execution's device."""
    return builder_of(spec.autoencoder)(spec.autoencoder).to(execution.device)


def _whole(shards: Iterable[Artifact]) -> list[Artifact]:
    """The shards before the last, or before one of another size: an earlier version's."""
    return list(takewhile(lambda each: each.facts["num_images"] == SHARD_IMAGES, shards))


def _encoded(execution: Execution, stage: Stage, images: Images, *, first: int) -> list[Artifact]:
    """Encode and keep every shard from number *first* on.

    Raises:
        RunError: a latent is not finite.
    """
    num = len(images.labels)
    network = open_autoencoder(execution, stage.spec)
    made = []
    with execution.progress.track(f"encode {stage.name}", num) as advance:
        advance(min(num, first * SHARD_IMAGES), "resumed" if first else "")
        for number in range(first, -(-num // SHARD_IMAGES)):
            rows = np.arange(num)[number * SHARD_IMAGES :][:SHARD_IMAGES]
            latents = encode_rows(stage.spec, network, images, rows, advance=advance)
            if not np.isfinite(latents).all():
                msg = f"{stage.name}: shard {number}: a latent is not finite; the weights are bad"
                raise RunError(msg)
            data = encode_shard(latents, images.labels[rows])
            made.append(
                execution.keep(
                    stage,
                    store.put_bytes(execution.root, data),
                    role=SHARDS,
                    name=f"latents-{number:05d}.safetensors",
                    facts={"num_images": len(rows), "shape": list(latents.shape[2:])},
                )
            )
    return made


def encode_rows(
    spec: Latents,
    network: Any,
    images: Images,
    rows: NDArray[np.int64],
    *,
    advance: Advance,
) -> NDArray[np.float32]:
    """The latents [n, V, c, h, w] of the images of these numbers, all views of each.

    Every view of an image draws from a generator of its own, made of the seed, the number of the
    image and that of the view; so a latent depends on nothing else.
    """
    views = range(2 if spec.flips else 1)
    wanted = [(int(row), view) for row in rows for view in views]
    batches = [wanted[start:][:BATCH_SIZE] for start in range(0, len(wanted), BATCH_SIZE)]
    batches[-1] += batches[-1][-1:] * (BATCH_SIZE - len(batches[-1]))  # dropped at the end
    device = next(network.parameters()).device
    made = []
    with deterministic(), torch.inference_mode():
        for batch, pixels in zip(batches, _read_ahead(spec, images, batches), strict=True):
            latents = coder.encode(
                network,
                pixels.to(device),
                generators=[seeded("latent", spec.seed, row, view) for row, view in batch],
                posterior=spec.posterior,
                scaling_factor=spec.scaling_factor,
            )
            made.append(latents.cpu().numpy())
            advance(len(dict.fromkeys(row for row, view in batch if view == 0)))
    joined = np.concatenate(made)[: len(wanted)]
    return joined.reshape(len(rows), len(views), *joined.shape[1:])


def _read_ahead(
    spec: Latents, images: Images, batches: Sequence[Sequence[tuple[int, int]]]
) -> Iterator[Tensor]:
    """The inputs of each batch; those of the next are read while the last are encoded."""
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(_inputs, spec, images, batches[0])
        for following in batches[1:]:
            pixels = ahead.result()
            ahead = reader.submit(_inputs, spec, images, following)
            yield pixels
        yield ahead.result()


def _inputs(spec: Latents, images: Images, wanted: Sequence[tuple[int, int]]) -> Tensor:
    """The images [B, 3, H, W] in [-1, 1] of pairs of a number and a view; view 1 is mirrored."""
    rows, views = np.array(wanted).T
    numbers, places = np.unique(rows, return_inverse=True)
    pixels = signed(enlarged(images.images[numbers], spec.enlarge_to))[places]
    return torch.where(torch.from_numpy(views == 1)[:, None, None, None], pixels.flip(3), pixels)
