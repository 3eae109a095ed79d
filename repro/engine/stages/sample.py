"""Making the images of an evaluation: one safetensors file, and a sheet to look at."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import evolve
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from repro import digest
from repro.digest import canonical
from repro.engine.checkpoint import load_weights
from repro.engine.execution import Execution
from repro.engine.latents.autoencoder import decode
from repro.engine.probes.probe import SampleArrays
from repro.engine.randomness import randomness_of
from repro.engine.samplers.table import LEVELS
from repro.engine.sampling import sample_images
from repro.engine.sheet import sheet
from repro.engine.stages.data import known_of, shape_seen, source_of
from repro.engine.stages.encode import open_autoencoder
from repro.engine.stages.heatmap import found_in, settled
from repro.engine.stages.prepare import load_images
from repro.engine.stages.select import checkpoint_of
from repro.engine.stages.train import untrained, weights_at
from repro.errors import RunError
from repro.ledger import store
from repro.metrics.image_set import pairing
from repro.spec import Stage
from repro.spec.data import Latents
from repro.spec.identity import identity_data
from repro.spec.plan import Sampling
from repro.spec.sample import FromCheckpoint, FromDataset, UniformNoise

BATCH_SIZE = 64


def sample(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Make the images and keep them."""
    part: Sampling = stage.spec
    made = MAKERS[type(part.sample)](execution, stage)
    facts = {
        **made.facts,
        "num_samples": len(made.images),
        "shape": list(made.images.shape[1:]),
        "pairing": pairing(made.sources, made.labels),
    }
    arrays: dict[str, NDArray[Any]] = {
        "images": made.images,
        "sources": made.sources,
        "labels": made.labels,
    }
    execution.keep(
        stage,
        store.put_bytes(execution.root, save(arrays)),
        role="samples",
        name="samples.safetensors",
        facts=facts,
    )
    execution.keep(
        stage,
        store.put_bytes(execution.root, sheet(made.images)),
        role="sheet",
        name="sheet.png",
        media_type="image/png",
    )
    return facts


def _from_checkpoint(execution: Execution, stage: Stage) -> SampleArrays:
    spec: FromCheckpoint = stage.spec.sample
    trained = execution.only_input(stage, "train")
    step = checkpoint_of(execution, stage)
    data = known_of(execution, trained)
    network = untrained(execution, trained)
    weights = weights_at(execution, trained, step)
    load_weights(network, weights, which=spec.weights)
    spec = evolve(spec, sampler=settled(execution, stage, spec.sampler))
    with execution.progress.track(f"sample {stage.name}", spec.num_samples) as advance:
        made = sample_images(
            spec,
            network,
            objective=trained.spec.objective,
            randomness=randomness_of(trained.spec.network, shape_seen(execution, trained)),
            num_classes=data["num_classes"],
            decode=decoder(execution, trained),
            batch_size=BATCH_SIZE,
            advance=advance,
        )
    return SampleArrays(
        images=made.images,
        sources=made.seeds,
        labels=made.labels,
        facts={
            "quantisation": spec.quantisation,
            "nfe": made.nfe,
            "checkpoint_step": step,
            "weights": digest.sha256(weights),
            **({} if made.sensitivity is None else {"label_sensitivity": made.sensitivity}),
            **_path_facts(execution, stage, spec.sampler, trained.spec.objective),
        },
    )


def _path_facts(
    execution: Execution, stage: Stage, sampler: Any, objective: Any
) -> Mapping[str, Any]:
    """Keep the levels of a sampler that goes down a path, and whose; say where each scale ends."""
    levels_of = LEVELS.get(type(sampler))
    if levels_of is None:
        return {}
    levels = levels_of(sampler, objective)
    asked = stage.spec.sample.sampler
    found = found_in(execution, stage, asked)
    path = {"sigmas": levels.tolist(), "sampler": identity_data(asked), **found}
    execution.keep(
        stage,
        store.put_bytes(execution.root, canonical(path)),
        role="path",
        name="path.json",
        media_type="application/json",
    )
    return {"last_levels": levels[-1].tolist(), **found}


def decoder(execution: Execution, trained: Stage) -> Callable[[Tensor], Tensor] | None:
    """From what a network makes to images; None if it makes images."""
    source = source_of(execution, trained)
    if source.kind != "encode":
        return None
    spec: Latents = source.spec
    autoencoder = open_autoencoder(execution, source)
    return lambda latents: decode(autoencoder, latents, scaling_factor=spec.scaling_factor)


def _from_dataset(execution: Execution, stage: Stage) -> SampleArrays:
    spec: FromDataset = stage.spec.sample
    data = load_images(execution, spec.data)
    if spec.num_samples > len(data.images):
        msg = (
            f"{stage.name}: num_samples = {spec.num_samples}, but the data set has "
            f"{len(data.images)} images and they are drawn without replacement; lower it"
        )
        raise RunError(msg)
    chosen = np.random.RandomState(spec.seed).permutation(len(data.images))[: spec.num_samples]
    return SampleArrays(
        images=data.images[chosen],
        sources=chosen.astype(np.int64),
        labels=data.labels[chosen],
        facts={"quantisation": "stored", "dataset": data.digest},
    )


def _uniform_noise(execution: Execution, stage: Stage) -> SampleArrays:
    del execution
    spec: UniformNoise = stage.spec.sample
    seeds = np.arange(spec.num_samples, dtype=np.int64) + spec.seed
    shape = (spec.height, spec.width, spec.channels)
    images = [
        np.random.RandomState(int(seed)).randint(0, 256, shape, dtype=np.uint8) for seed in seeds
    ]
    return SampleArrays(
        images=np.stack(images),
        sources=seeds,
        labels=np.zeros(len(seeds), np.int64),
        facts={"quantisation": "stored"},
    )


MAKERS: Mapping[type, Callable[[Execution, Stage], SampleArrays]] = {
    FromCheckpoint: _from_checkpoint,
    FromDataset: _from_dataset,
    UniformNoise: _uniform_noise,
}
