"""The whole training state after a step, as two safetensors files without pickle.

The weights file holds `raw.<name>` and `ema.<name>` and is all that sampling needs. The state file
holds `step`, the number of updates done, AdamW's `moments.<key>.<name>` and, of an objective that
changes as it is used, `objective.<name>`. There is nothing else to keep: rates, decays and random
numbers are functions of the step.

Each file has no metadata, because safetensors writes it in an order that changes between runs, and
equal trainings must leave equal bytes.
"""

from collections.abc import Collection, Mapping
from typing import Literal

import torch
from attrs import frozen
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn
from torch.optim import AdamW

from repro.errors import RunError

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of a parameter


@frozen(kw_only=True)
class Checkpoint:
    """The files of one step."""

    step: int
    weights: bytes
    state: bytes


def pack(
    step: int,
    *,
    network: nn.Module,
    shadow: Mapping[str, Tensor],
    optimizer: AdamW,
    objective: Mapping[str, Tensor],
) -> Checkpoint:
    """Write down the state after *step* updates; *objective* is the state of the objective."""
    raw = {f"raw.{name}": value for name, value in network.state_dict().items()}
    ema = {f"ema.{name}": value for name, value in shadow.items()}
    moments = {
        f"moments.{key}.{name}": value
        for name, parameter in _trained(network)
        for key, value in optimizer.state[parameter].items()
    }
    return Checkpoint(
        step=step,
        weights=packed(raw | ema),
        state=packed(
            moments
            | {f"objective.{name}": value for name, value in objective.items()}
            | {"step": torch.tensor(step)}
        ),
    )


def restore(
    checkpoint: Checkpoint,
    *,
    network: nn.Module,
    shadow: dict[str, Tensor],
    optimizer: AdamW,
    objective: Mapping[str, Tensor],
) -> None:
    """Put *checkpoint* into the four parts of a training, in place.

    Raises:
        RunError: when its files are damaged, belong to another network or objective, or disagree
            on the step.
    """
    load_weights(network, checkpoint.weights, which="raw")
    shadow.update(weights_of(checkpoint.weights, "ema", like=shadow))
    state = _read(checkpoint.state, what="state file")
    if (found := state.pop("step", None)) is None or int(found) != checkpoint.step:
        msg = f"checkpoint: the state file is of step {found}, expected step {checkpoint.step}"
        raise RunError(msg)
    moments, remembered = _parted(state, "objective")
    _restore_moments(moments, network=network, optimizer=optimizer)
    _refuse_other_shapes(remembered, like=objective, what="objective state")
    for name, value in remembered.items():
        objective[name].copy_(value)


def load_weights(network: nn.Module, weights: bytes, *, which: Literal["raw", "ema"]) -> None:
    """Load the raw or the averaged weights of a weights file; every name and shape must fit.

    Raises:
        RunError: when a name is missing, left over, or has another shape.
    """
    network.load_state_dict(weights_of(weights, which, like=network.state_dict()))


def weights_of(data: bytes, which: str, *, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The raw or the averaged weights of a weights file, held to the names and shapes of *like*."""
    _, found = _parted(_read(data, what="weights file"), which)
    _refuse_other_shapes(found, like=like, what=f"{which} weights")
    return {name: value.to(like[name].device) for name, value in found.items()}


def _restore_moments(state: dict[str, Tensor], *, network: nn.Module, optimizer: AdamW) -> None:
    trained = [
        (number, name, parameter)
        for number, (name, parameter) in enumerate(_trained(network))
        if f"moments.step.{name}" in state  # a parameter that got no gradient has no moments
    ]
    expected = {
        f"moments.{key}.{name}": torch.tensor(0.0) if key == "step" else parameter
        for _, name, parameter in trained
        for key in MOMENTS
    }
    _refuse_other_shapes(state, like=expected, what="optimizer state")
    moments = {
        number: {key: state[f"moments.{key}.{name}"] for key in MOMENTS}
        for number, name, _ in trained
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def _parted(
    tensors: Mapping[str, Tensor], prefix: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors that are not called `<prefix>.<name>`, and those that are, by name."""
    start = f"{prefix}."
    others = {name: value for name, value in tensors.items() if not name.startswith(start)}
    called = {
        name.removeprefix(start): value for name, value in tensors.items() if name not in others
    }
    return others, called


def _trained(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, each) for name, each in network.named_parameters() if each.requires_grad]


def _refuse_other_shapes(
    found: Mapping[str, Tensor], *, like: Mapping[str, Tensor], what: str
) -> None:
    other = [
        f"{name} has shape {list(found[name].shape)}, expected {list(like[name].shape)}"
        for name in found.keys() & like.keys()
        if found[name].shape != like[name].shape
    ]
    problems = [
        *_listed("missing", like.keys() - found.keys()),
        *_listed("unexpected", found.keys() - like.keys()),
        *sorted(other),
    ]
    if problems:
        raise RunError(*(f"checkpoint: {what}: {problem}" for problem in problems))


def _listed(finding: str, names: Collection[str]) -> list[str]:
    return [f"{finding} {', '.join(sorted(names))}"] if names else []


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """A safetensors file without metadata, the same bytes for equal tensors."""
    return safetensors.save(
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    )


def _read(data: bytes, *, what: str) -> dict[str, Tensor]:
    try:
        return safetensors.load(data)
    except SafetensorError as error:
        msg = f"checkpoint: the {what} is damaged ({error}); delete it and train again"
        raise RunError(msg) from error
