"""Training a network, or the encoder whose features it drifts in; resumed where it was cut off.

A network whose encoder others use leaves that as a file of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

from safetensors import torch as safetensors
from torch import nn

from repro.engine.beginning import Beginning, Loaded
from repro.engine.builders import Materials, builder_of
from repro.engine.checkpoint import Checkpoint as TrainingState
from repro.engine.checkpoint import load_weights, packed
from repro.engine.execution import Execution
from repro.engine.features.encoder import FeatureEncoder, MapFeatures, SeveralFeatures
from repro.engine.features.library import library_encoder
from repro.engine.networks.mae import MaeEncoder
from repro.engine.objectives.classify import classify
from repro.engine.objectives.objective import Objective, Shows
from repro.engine.seeds import global_stream
from repro.engine.stages.data import examples_of, images_of, known_of, shape_seen
from repro.engine.stages.init import beginning_of, keep_begun, say_begun_again
from repro.engine.stages.resume import note_other_place
from repro.engine.train import train as minimize
from repro.errors import RunError
from repro.ledger import history, store
from repro.ledger.records import Checkpoint
from repro.spec import Stage
from repro.spec.encoder import LibraryEncoder
from repro.spec.network import ConvEncoder
from repro.spec.plan import EncoderKeys, Export, Training
from repro.spec.train import ConstantEma, CosineLr, Train


def encoder(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Train the feature encoder as a classifier of the data set's labels, or see that it is here.

    One of a library is held to its digest and opened, so that a run which cannot use it stops.
    """
    if isinstance(stage.spec, LibraryEncoder):
        opened = library_encoder(stage.spec)
        return {
            "digest": stage.spec.digest,
            "parameters": sum(each.numel() for each in opened.parameters()),
        }
    data = images_of(execution, stage)
    return _train(
        execution,
        stage,
        spec=_encoder_training(stage.spec),
        network=untrained_encoder(execution, stage),
        objective=classify(stage.spec, data=data),
    )


def train(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Train the network on its objective."""
    part: Training = stage.spec
    return _train(
        execution,
        stage,
        spec=part.train,
        network=untrained(execution, stage),
        objective=objective_of(execution, stage),
        beginning=beginning_of(execution, stage),
    )


def objective_of(execution: Execution, stage: Stage) -> Objective:
    """What a train stage minimizes, on its data, as it is before the first update."""
    part: Training = stage.spec
    given = Materials(
        data=examples_of(execution, stage),
        network=part.network,
        encoder=_encoder_of(execution, stage),
    )
    objective: Objective = builder_of(part.objective)(part.objective, given)
    return objective


def untrained(execution: Execution, stage: Stage) -> nn.Module:
    """The network of a train stage as its training starts, on the execution's device."""
    part: Training = stage.spec
    shape = shape_seen(execution, stage)
    return _initialized(
        execution, part.train.seed, lambda: builder_of(part.network)(part.network, shape)
    )


def untrained_encoder(execution: Execution, stage: Stage) -> nn.Module:
    """The encoder as its training starts, on the execution's device."""
    data = known_of(execution, stage)
    build = builder_of(stage.spec)
    return _initialized(
        execution,
        stage.spec.seed,
        lambda: build(stage.spec, tuple(data["shape"]), data["num_classes"]),
    )


def weights_at(execution: Execution, stage: Stage, step: int | None) -> bytes:
    """The weights file that a finished train stage left after *step* updates, verified.

    Raises:
        RunError: when there is none of that step.
    """
    saved = {each.step: each for each in execution.done[stage.stage_id].checkpoints}
    if step not in saved:
        kept = ", ".join(str(each) for each in sorted(saved))
        msg = f"train {stage.name}: no checkpoint of step {step}, only of: {kept}"
        raise RunError(msg)
    return store.check(execution.root, saved[step].weights).read_bytes()


def _initialized(execution: Execution, seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    with global_stream("initialize", seed):
        return build().to(execution.device)


def export(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Keep the averaged weights of the trained network's encoder as a file of their own."""
    part: Export = stage.spec
    trained = execution.only_input(stage, "train")
    network = untrained(execution, trained)
    weights = weights_at(execution, trained, trained.spec.train.steps)
    load_weights(network, weights, which="ema")
    tensors = network.get_submodule("encoder").state_dict()
    facts = {
        "network": part.network.kind,
        "channels": known_of(execution, trained)["shape"][0],
        "parameters": sum(each.numel() for each in tensors.values()),
    }
    execution.keep(
        stage,
        store.put_bytes(execution.root, packed(tensors)),
        role="encoder",
        name=f"{part.network.kind}-encoder.safetensors",
        facts=facts,
    )
    return facts


def exported_encoder(execution: Execution, stage: Stage, keys: EncoderKeys) -> MapFeatures:
    """The encoder that a finished export stage left, verified, with the vectors that *keys* ask."""
    artifact = execution.artifact(stage, "encoder")
    network = MaeEncoder(stage.spec.network, artifact.facts["channels"])
    network.load_state_dict(safetensors.load_file(execution.path_of(stage, "encoder")))
    return MapFeatures(network, keys.features, norm_x=keys.norm_x).to(execution.device)


def _encoder_of(execution: Execution, stage: Stage) -> FeatureEncoder | None:
    """The encoders that a train stage builds on, as one; None if there are none."""
    part: Training = stage.spec
    below = [execution.stages[each] for each in stage.inputs]
    below = [each for each in below if each.kind in ("encoder", "export")]
    keys = part.encoders or tuple(EncoderKeys(name="") for _ in below)
    found = {
        each.name: _single_encoder(execution, left_by, each)
        for each, left_by in zip(keys, below, strict=True)
    }
    if found.keys() == {""}:
        alone: FeatureEncoder = found[""]
        return alone
    return SeveralFeatures(found) if found else None


def _single_encoder(execution: Execution, stage: Stage, keys: EncoderKeys) -> Any:
    """What a stage left as an encoder: exported, of a library, or trained by the stage itself."""
    if stage.kind == "export":
        return exported_encoder(execution, stage, keys)
    if isinstance(stage.spec, LibraryEncoder):
        return library_encoder(stage.spec).to(execution.device)
    return trained_encoder(execution, stage)


def trained_encoder(execution: Execution, stage: Stage) -> nn.Module:
    """The encoder that a finished encoder stage trained, on the execution's device."""
    network = untrained_encoder(execution, stage)
    last = max(each.step for each in execution.done[stage.stage_id].checkpoints)
    load_weights(network, weights_at(execution, stage, last), which="ema")
    return network


def _train(
    execution: Execution,
    stage: Stage,
    *,
    spec: Train,
    network: nn.Module,
    objective: Objective,
    beginning: Beginning | None = None,
) -> Mapping[str, Any]:
    """Run the loop with the ledger as its memory."""
    earlier = history.saved_training(execution.root, stage.stage_id, rehearsal=execution.rehearsal)
    saved = earlier.checkpoints if earlier else ()
    for each in saved:
        execution.record(each)  # said again, so that this execution stands alone
    if earlier:
        note_other_place(
            execution,
            stage,
            earlier.execution_id,
            earlier.provenance,
            after={"after_step": earlier.checkpoints[-1].step},
        )
    with execution.progress.track(stage.name, spec.steps) as advance:
        if saved:
            advance(saved[-1].step, "resumed")
            say_begun_again(execution, stage)

        def on_progress(step: int, values: Mapping[str, float]) -> None:
            execution.segment.log(stage.stage_id, step, values)
            advance(1, note_of(objective, values))

        def on_begun(loaded: Loaded) -> None:
            advance(loaded.first_step, "taken over")
            keep_begun(execution, stage, loaded)

        def on_checkpoint(state: TrainingState) -> None:
            execution.record(_kept(execution, stage, state))

        minimize(
            spec,
            network,
            objective,
            on_checkpoint=on_checkpoint,
            on_progress=on_progress,
            resume=_read(execution, saved[-1]) if saved else None,
            beginning=beginning,
            on_begun=on_begun,
        )
    return {
        "parameters": sum(each.numel() for each in network.parameters()),
        "resumed_after": saved[-1].step if saved else 0,
        "resumed_from": earlier.execution_id if earlier else None,
    }


def _encoder_training(spec: ConvEncoder) -> Train:
    """A short classifier training: cosine rate after a tenth of warm-up, no averaging."""
    return Train(
        steps=spec.steps,
        seed=spec.seed,
        lr=spec.lr,
        lr_schedule=CosineLr(warmup_steps=spec.steps // 10),
        weight_decay=spec.weight_decay,
        ema=ConstantEma(decay=0.0),
        checkpoint_every=spec.steps,
    )


def _read(execution: Execution, saved: Checkpoint) -> TrainingState:
    return TrainingState(
        step=saved.step,
        weights=store.check(execution.root, saved.weights).read_bytes(),
        state=store.check(execution.root, str(saved.state)).read_bytes(),
    )


def _kept(execution: Execution, stage: Stage, state: TrainingState) -> Checkpoint:
    """Store both files, then say that they belong together: a crash leaves all or nothing."""
    digests = {}
    for role, data in (("weights", state.weights), ("state", state.state)):
        stored = store.put_bytes(execution.root, data)
        name = f"step-{state.step:08d}.{role}.safetensors"
        digests[role] = execution.keep(stage, stored, role=role, name=name).sha256
    return Checkpoint(stage_id=stage.stage_id, step=state.step, **digests)


def note_of(objective: Objective, values: Mapping[str, float]) -> str:
    """What a person sees of an update: the numbers that the objective says mean something."""
    shown = objective.shown(values) if isinstance(objective, Shows) else {"loss": values["loss"]}
    return "  ".join(f"{name} {value:.3g}" for name, value in shown.items())
