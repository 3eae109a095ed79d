"""One training loop for every objective."""

import math
from collections.abc import Callable, Mapping

from attrs import frozen
from torch import Tensor, nn
from torch.optim import AdamW

from repro.engine import checkpoint, ema
from repro.engine.beginning import Beginning, Loaded, begin
from repro.engine.checkpoint import Checkpoint
from repro.engine.determinism import deterministic
from repro.engine.lr import learning_rate
from repro.engine.objectives.objective import CountsImages, Objective, Stateful
from repro.engine.seeds import global_stream, seeded
from repro.errors import RunError
from repro.spec.train import Train

OnCheckpoint = Callable[[Checkpoint], None]
OnProgress = Callable[[int, Mapping[str, float]], None]
OnBegun = Callable[[Loaded], None]


@frozen(kw_only=True)
class _Training:
    """The parts that change from update to update.

    `parameters` are those that are trained, `weights` the network's own, `objective` the state of
    the objective by name.
    """

    network: nn.Module
    parameters: list[nn.Parameter]
    weights: Mapping[str, Tensor]
    shadow: dict[str, Tensor]
    optimizer: AdamW
    objective: Mapping[str, Tensor]


def train(
    spec: Train,
    network: nn.Module,
    objective: Objective,
    *,
    on_checkpoint: OnCheckpoint,
    on_progress: OnProgress,
    resume: Checkpoint | None = None,
    beginning: Beginning | None = None,
    on_begun: OnBegun = lambda _: None,
) -> None:
    """Minimize *objective* over the parameters of *network*, on the device they are on.

    *on_checkpoint* gets the state after `checkpoint_every` updates, after the last, and before the
    first when the spec asks for it; *on_progress* gets the number of updates done and the loss, the
    gradient norm before clipping, the rate and the objective's own values, after each. With
    *resume* the training goes on after that checkpoint and ends, on the same machine with as many
    threads, in the same bits as one that was never interrupted. *beginning* is what a new training
    takes over from another; *on_begun* gets what it then holds.

    Raises:
        RunError: when a loss or a gradient is not finite (the weights are then those of the update
            before), or when *resume* or *beginning* does not fit the network or the objective.
    """
    training = _started(spec, network, objective)
    first = 0
    if resume is not None:
        first = _begun(training, Beginning(mode="full", checkpoint=resume)).first_step
    elif beginning is not None:
        on_begun(begun := _begun(training, beginning))
        first = begun.first_step
    if resume is None and spec.initial_checkpoint:
        on_checkpoint(_packed(first, training))
    with deterministic():
        for step in range(first, spec.steps):
            values = _update(spec, training, objective, step=step)
            done = step + 1
            on_progress(done, values)
            if done % spec.checkpoint_every == 0 or done == spec.steps:
                on_checkpoint(_packed(done, training))


def _started(spec: Train, network: nn.Module, objective: Objective) -> _Training:
    weights = network.train().state_dict()
    parameters = [each for each in network.parameters() if each.requires_grad]
    return _Training(
        network=network,
        parameters=parameters,
        weights=weights,
        shadow=ema.shadow_of(weights),
        optimizer=_optimizer(spec, parameters),
        objective=objective.state() if isinstance(objective, Stateful) else {},
    )


def _begun(training: _Training, beginning: Beginning) -> Loaded:
    return begin(
        beginning,
        network=training.network,
        shadow=training.shadow,
        optimizer=training.optimizer,
        objective=training.objective,
    )


def _update(
    spec: Train, training: _Training, objective: Objective, *, step: int
) -> dict[str, float]:
    training.optimizer.zero_grad(set_to_none=True)
    values = _accumulate(spec, training.network, objective, step=step)
    norm = nn.utils.clip_grad_norm_(training.parameters, spec.clip_norm)
    num_images = spec.accumulate * _images_of(objective)
    rate = learning_rate(spec, step=step, num_images=num_images)
    values |= {"grad_norm": float(norm), "lr": rate}
    _refuse_non_finite(values, step=step)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.optimizer.step()
    decay = ema.decay_at(spec.ema, step=step, num_images=num_images)
    ema.follow(training.shadow, training.weights, decay=decay)
    return values


def _images_of(objective: Objective) -> int:
    return objective.num_images if isinstance(objective, CountsImages) else 0


def _accumulate(
    spec: Train, network: nn.Module, objective: Objective, *, step: int
) -> dict[str, float]:
    """Add up the gradients of the micro-batches; return their mean values."""
    device = next(network.parameters()).device
    sums: dict[str, float] = {}
    for micro in range(spec.accumulate):
        with global_stream("dropout", spec.seed, step, micro, device=device):
            out = objective.loss(
                network,
                step=step,
                micro=micro,
                generator=seeded("train", spec.seed, step, micro),
            )
        (out.loss / spec.accumulate).backward()  # type: ignore[no-untyped-call]
        for name, value in {"loss": float(out.loss.detach()), **out.values}.items():
            sums[name] = sums.get(name, 0.0) + value / spec.accumulate
    return sums


def _refuse_non_finite(values: Mapping[str, float], *, step: int) -> None:
    if not (math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])):
        shown = ", ".join(f"{name} = {value:g}" for name, value in values.items())
        msg = (
            f"train: update {step + 1}: expected a finite loss and gradient, got {shown}; "
            "lower train.lr, lengthen its warm-up or set train.clip_norm"
        )
        raise RunError(msg)


def _optimizer(spec: Train, parameters: list[nn.Parameter]) -> AdamW:
    return AdamW(
        parameters,
        lr=spec.lr,
        betas=spec.betas,
        eps=spec.eps,
        weight_decay=spec.weight_decay,
        fused=True,  # one kernel in place of ten a parameter: a tenth of a small network's update
    )


def _packed(step: int, training: _Training) -> Checkpoint:
    return checkpoint.pack(
        step,
        network=training.network,
        shadow=training.shadow,
        optimizer=training.optimizer,
        objective=training.objective,
    )
