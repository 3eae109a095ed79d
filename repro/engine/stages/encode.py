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
from safetensors.numpy import load_file
from torch import Tensor

from repro.engine.builders import builder_of
from repro.engine.checkpoint import load_weights
from repro.engine.datasets import Images
from repro.engine.determinism import deterministic
from repro.engine.enlarge import enlarged
from repro.engine.execution import Execution
from repro.engine.latents import autoencoder as coder
from repro.engine.latents.shards import Manifest, encode_manifest, encode_shard
from repro.engine.objectives.images import random_crops, signed
from repro.engine.progress import Advance
from repro.engine.seeds import seeded
from repro.engine.stages.latents import MANIFEST, SHARDS
from repro.engine.stages.prepare import load_images
from repro.engine.stages.resume import note_other_place
from repro.engine.stages.train import untrained, weights_at
from repro.errors import RunError
from repro.ledger import history, store
from repro.ledger.records import Artifact
from repro.spec import Stage
from repro.spec.autoencoder import TrainedAutoencoderKl
from repro.spec.data import Latents

SHARD_IMAGES = 1024
"""Of 32 x 32 x 4 latents with flips, 32 MiB: what an interruption may cost."""

LEAST_STD, MOST_STD = 0.5, 2.0
"""Where the deviation of latents may lie; a factor that was forgotten puts it far outside."""

BATCH_SIZE = 8
"""Network inputs at once, always: kernels round by it."""


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
    scale = _scale(execution, stage, kept)
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
        **scale,
        "resumed_from": saved.execution_id if saved and kept else None,
    }


def open_autoencoder(execution: Execution, stage: Stage) -> Any:
    """The autoencoder of an encode stage, frozen, on the execution's device."""
    if trained := execution.inputs_of(stage, "train"):
        network = untrained(execution, trained[0])
        weights = weights_at(execution, trained[0], trained[0].spec.train.steps)
        load_weights(network, weights, which="ema")
        return network.eval().requires_grad_(requires_grad=False)
    spec: Latents = stage.spec
    return builder_of(spec.autoencoder)(spec.autoencoder).to(execution.device)


def _scale(execution: Execution, stage: Stage, shards: Sequence[Artifact]) -> Mapping[str, float]:
    """Mean and deviation of the latents of the first shard, and what decoding loses of eight.

    `round_trip_error` is the root mean square of encode(decode(z)) - z, against that of z.

    Raises:
        RunError: another spec trains the autoencoder, and its latents are far from the deviation of
            1 that networks and schedules are made for; of files, that is only said.
    """
    spec: Latents = stage.spec
    latents = load_file(store.check(execution.root, shards[0].sha256))["latents"]
    std = float(latents.std())
    if not execution.rehearsal and not LEAST_STD <= std <= MOST_STD:
        msg = (
            f"{stage.name}: latents times scaling_factor = {spec.scaling_factor:g} have a standard "
            f"deviation of {std:.3g}, expected {LEAST_STD} to {MOST_STD}; with "
            f"data.scaling_factor = {spec.scaling_factor / std:.3g} it would be 1"
        )
        if isinstance(spec.autoencoder, TrainedAutoencoderKl):
            raise RunError(msg)
        execution.progress.notify(msg)
    network = open_autoencoder(execution, stage)
    z = torch.from_numpy(latents[:BATCH_SIZE, 0]).to(execution.device)
    with deterministic(), torch.inference_mode():
        images = coder.decode(network, z, scaling_factor=spec.scaling_factor)
        again = spec.scaling_factor * network.encode(images).latent_dist.mean
        lost = float((again - z).square().mean().sqrt() / z.square().mean().sqrt())
    return {"mean": float(latents.mean()), "std": std, "round_trip_error": lost}


def _whole(shards: Iterable[Artifact]) -> list[Artifact]:
    """The shards before the last, or before one of another size: an earlier version's."""
    return list(takewhile(lambda each: each.facts["num_images"] == SHARD_IMAGES, shards))


def _encoded(execution: Execution, stage: Stage, images: Images, *, first: int) -> list[Artifact]:
    """Encode and keep every shard from number *first* on.

    Raises:
        RunError: a latent is not finite.
    """
    num = len(images.labels)
    network = open_autoencoder(execution, stage)
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
    image and that of the view; so a latent depends on nothing else. So does every part of it.
    """
    views = range((spec.random_crops.num if spec.random_crops else 1) * (2 if spec.flips else 1))
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
    """The images [B, 3, H, W] in [-1, 1] of pairs of a number and a view.

    Views are the image or random parts of it, with `flips` each followed by its mirror image.
    """
    rows, views = np.array(wanted).T
    parts, mirrored = np.divmod(views, 2) if spec.flips else (views, np.zeros_like(views))
    numbers, places = np.unique(rows, return_inverse=True)
    pixels = signed(enlarged(images.images[numbers], spec.enlarge_to))[places]
    if crops := spec.random_crops:
        each = zip(torch.split(pixels, 1), rows.tolist(), parts.tolist(), strict=True)
        pixels = torch.cat(
            [
                random_crops(
                    image,
                    least_area=crops.least_area,
                    generator=seeded("crop", spec.seed, row, part),
                )
                for image, row, part in each
            ]
        )
    return torch.where(torch.from_numpy(mirrored == 1)[:, None, None, None], pixels.flip(3), pixels)
