"""Training a network, or the encoder whose features it drifts in; resumed where it was cut off."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from repro.engine.builders import Materials, builder_of
from repro.engine.checkpoint import Checkpoint as TrainingState
from repro.engine.checkpoint import load_weights
from repro.engine.execution import Execution
from repro.engine.objectives.classify import classify
from repro.engine.objectives.objective import Objective
from repro.engine.seeds import global_stream
from repro.engine.stages.data import examples_of, images_of, known_of
from repro.engine.stages.resume import note_other_place
from repro.engine.train import train as minimize
from repro.errors import RunError
from repro.ledger import history, store
from repro.ledger.records import Checkpoint
from repro.spec import Stage
from repro.spec.network import ConvEncoder
from repro.spec.plan import Training
from repro.spec.train import ConstantEma, CosineLr, Train


def encoder(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Train the feature encoder as a classifier of the data set's labels."""
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
    data = examples_of(execution, stage)
    encoders = execution.inputs_of(stage, "encoder")
    given = Materials(
        data=data,
        network=part.network,
        encoder=_trained_encoder(execution, encoders[0]) if encoders else None,
    )
    return _train(
        execution,
        stage,
        spec=part.train,
        network=untrained(execution, stage),
        objective=builder_of(part.objective)(part.objective, given),
    )


def untrained(execution: Execution, stage: Stage) -> nn.Module:
    """The network of a train stage as its training starts, on the execution's device."""
    part: Training = stage.spec
    shape = tuple(known_of(execution, stage)["shape"])
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


def weights_at(execution: Execution, stage: Stage, step: int) -> bytes:
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


def _trained_encoder(execution: Execution, stage: Stage) -> nn.Module:
    network = untrained_encoder(execution, stage)
    last = max(each.step for each in execution.done[stage.stage_id].checkpoints)
    load_weights(network, weights_at(execution, stage, last), which="ema")
    return network


def _train(
    execution: Execution, stage: Stage, *, spec: Train, network: nn.Module, objective: Objective
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

        def on_progress(step: int, values: Mapping[str, float]) -> None:
            execution.segment.log(stage.stage_id, step, values)
            advance(1, _note(values))

        def on_checkpoint(state: TrainingState) -> None:
            execution.record(_kept(execution, stage, state))

        minimize(
            spec,
            network,
            objective,
            on_checkpoint=on_checkpoint,
            on_progress=on_progress,
            resume=_read(execution, saved[-1]) if saved else None,
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


def _note(values: Mapping[str, float]) -> str:
    """The numbers that mean something: drift energies where there are any, else the loss."""
    energies = {name: value for name, value in values.items() if name.startswith("energy/")}
    shown = dict(list(energies.items())[-3:]) or {"loss": values["loss"]}
    return "  ".join(f"{name.removeprefix('energy/')} {value:.3g}" for name, value in shown.items())
