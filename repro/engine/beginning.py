"""What a new training takes over from another, and what it then holds.

A study that means to load weights alone and loads an optimizer's moments, or its rate, has measured
something else (seed study 001, 5.12 and 5.13). So what was loaded is read back from the parts of
the training, held against what was asked for, and put on record.
"""

from collections.abc import Mapping

from attrs import frozen
from torch import Tensor, nn
from torch.optim import AdamW

from repro.engine.checkpoint import Checkpoint, load_weights, restore, weights_of
from repro.errors import RunError
from repro.spec.init import Mode
from repro.spec.train import Train


@frozen(kw_only=True)
class Beginning:
    """A checkpoint of another training, and how much of it is taken (see `spec.init`)."""

    mode: Mode
    checkpoint: Checkpoint


@frozen(kw_only=True)
class Loaded:
    """What a training holds before its first update.

    `first_step` counts as done. `moments` are the parameters of which the optimizer has moments,
    `moments_step` the updates that these have seen. `average_differs` says whether the averaged
    weights are others than the weights; `objective` are the names of its state. The rest is what
    the optimizer will go by.
    """

    first_step: int
    moments: int
    moments_step: int
    average_differs: bool
    objective: tuple[str, ...]
    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float


def begin(
    beginning: Beginning,
    *,
    network: nn.Module,
    shadow: dict[str, Tensor],
    optimizer: AdamW,
    objective: Mapping[str, Tensor],
) -> Loaded:
    """Put what is taken over into the four parts of a training, in place; what they hold then.

    Raises:
        RunError: when it does not fit the network or the objective.
    """
    taken = beginning.checkpoint
    if beginning.mode == "full":
        restore(taken, network=network, shadow=shadow, optimizer=optimizer, objective=objective)
    else:
        load_weights(network, taken.weights, which="raw")
        average = "ema" if beginning.mode == "weights_and_ema" else "raw"
        shadow.update(weights_of(taken.weights, average, like=shadow))
    weights = network.state_dict()
    moments = [each for each in optimizer.state.values() if each]
    (group,) = optimizer.param_groups
    return Loaded(
        first_step=taken.step if beginning.mode == "full" else 0,
        moments=len(moments),
        moments_step=max((int(each["step"]) for each in moments), default=0),
        average_differs=any(not value.equal(weights[name]) for name, value in shadow.items()),
        objective=tuple(objective) if beginning.mode == "full" else (),
        lr=group["lr"],
        betas=tuple(group["betas"]),
        eps=group["eps"],
        weight_decay=group["weight_decay"],
    )


def refuse_other(loaded: Loaded, spec: Train, mode: Mode) -> None:
    """Hold what a training begins with against what its spec says.

    Raises:
        RunError: it holds moments that were not asked for, or goes by other settings.
    """
    asked = {name: getattr(spec, name) for name in ("lr", "betas", "eps", "weight_decay")}
    problems = [
        f"the optimizer goes by {name} = {getattr(loaded, name)}, the spec says {value}"
        for name, value in asked.items()
        if getattr(loaded, name) != value
    ]
    if mode != "full" and loaded.moments:
        problems.append(f"mode {mode} loads no moments, but {loaded.moments} parameters have some")
    if mode == "weights" and loaded.average_differs:
        problems.append("mode weights begins the average with the weights, but they differ")
    if problems:
        raise RunError(*(f"init: {problem}" for problem in problems))
