"""What a training takes over from another run, read from the ledger and put on record."""

from typing import Any

from attrs import asdict

from repro import digest
from repro.engine.beginning import Beginning, Loaded, refuse_other
from repro.engine.checkpoint import Checkpoint as TrainingState
from repro.engine.execution import Execution
from repro.engine.lr import learning_rate
from repro.errors import RunError
from repro.ledger import history, store
from repro.ledger.records import Checkpoint
from repro.spec import Stage
from repro.spec.identity import identity_data
from repro.spec.plan import Training

ROLE = "initialization"


def beginning_of(execution: Execution, stage: Stage) -> Beginning | None:
    """What a train stage begins with, verified; None if it begins anew.

    Raises:
        RunError: the other training left no such checkpoint.
    """
    part: Training = stage.spec
    if part.init is None:
        return None
    saved = _saved(execution, stage)
    whole = part.init.mode == "full"
    return Beginning(
        mode=part.init.mode,
        checkpoint=TrainingState(
            step=saved.step,
            weights=store.check(execution.root, saved.weights).read_bytes(),
            state=store.check(execution.root, str(saved.state)).read_bytes() if whole else b"",
        ),
    )


def keep_begun(execution: Execution, stage: Stage, loaded: Loaded) -> None:
    """Keep what a training begins with as a file, with all that its spec changes beside it.

    Raises:
        RunError: it is not what the spec says; the file tells what it is.
    """
    part: Training = stage.spec
    if part.init is None:
        return
    saved = _saved(execution, stage)
    theirs: Training = execution.only_input(stage, "train").spec
    facts = {
        "mode": part.init.mode,
        "checkpoint_step": saved.step,
        "weights": saved.weights,
        "state": saved.state if part.init.mode == "full" else None,
        "loaded": asdict(loaded),
        "random_numbers": "of train.seed and the count of updates; none are loaded",
        "rate_before": _rate(theirs, max(0, saved.step - 1)),
        "rate_now": _rate(part, loaded.first_step),
        "changed": _changed(theirs, part),
    }
    execution.keep(
        stage,
        store.put_bytes(execution.root, digest.canonical(facts)),
        role=ROLE,
        name="initialization.json",
        media_type="application/json",
        facts=facts,
    )
    refuse_other(loaded, part.train, part.init.mode)


def say_begun_again(execution: Execution, stage: Stage) -> None:
    """Record once more what an interrupted training had begun with; so this execution is whole."""
    earlier = history.saved_artifacts(
        execution.root, stage.stage_id, role=ROLE, rehearsal=execution.rehearsal
    )
    for each in earlier.artifacts if earlier else ():
        execution.record(each)


def _saved(execution: Execution, stage: Stage) -> Checkpoint:
    """The checkpoint of another training that a train stage begins with.

    Raises:
        RunError: there is none of that step.
    """
    part: Training = stage.spec
    below = execution.only_input(stage, "train")
    saved = {each.step: each for each in execution.done[below.stage_id].checkpoints}
    wanted = part.init.checkpoint if part.init else None
    if wanted not in saved:
        kept = ", ".join(str(each) for each in sorted(saved))
        msg = f"{stage.name}: init: {below.name} left no checkpoint of step {wanted}, only: {kept}"
        raise RunError(msg)
    return saved[wanted]


def _rate(part: Training, step: int) -> float:
    """The rate of an update, the first being 0."""
    num_images = part.train.accumulate * getattr(part.objective, "batch_size", 0)
    return learning_rate(part.train, step=step, num_images=num_images)


def _changed(theirs: Training, ours: Training) -> dict[str, list[Any]]:
    """The settings of training and objective that differ, each as it was and as it is."""
    before, after = (
        {"train": identity_data(each.train), "objective": identity_data(each.objective)}
        for each in (theirs, ours)
    )
    return {
        f"{table}.{name}": [before[table].get(name), after[table].get(name)]
        for table in before
        for name in sorted({*before[table], *after[table]})
        if before[table].get(name) != after[table].get(name)
    }
