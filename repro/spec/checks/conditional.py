"""What a network that is told its class must agree on with data, objective and guidance."""

from collections.abc import Iterator
from typing import Any, get_args

from repro.spec.conditional import (
    ConditionalNetwork,
    UNet2DConditional,
    UNetStl10,
    VectorTable,
    classes_told,
)
from repro.spec.document import Spec
from repro.spec.layout import Layout, doublings, holds_points, layout
from repro.spec.objective import Denoise
from repro.spec.problems import Problem, repeated
from repro.spec.sample import FromCheckpoint, OneStep

HALVINGS_STL10 = 4
"""How often larger the finest map of that network is than its coarsest."""


def _conditional_network_fits_data(spec: Spec) -> Iterator[Problem]:
    network, data = spec.network, spec.data
    if data is None or not isinstance(network, ConditionalNetwork):
        return
    if holds_points(data):
        yield Problem(("network",), f"makes images, but {data.kind} holds points; use mlp")
    if shape := layout(data):
        yield from _sides_can_be_halved(network, shape, data.kind)
        if (told := classes_told(network.condition)) != shape.num_classes:
            field = "rows" if hasattr(network.condition, "rows") else "num_classes"
            msg = f"expected {shape.num_classes}, the classes of {data.kind}, got {told}"
            yield Problem(("network", "condition", field), msg)


def _sides_can_be_halved(
    network: ConditionalNetwork, shape: Layout, kind: str
) -> Iterator[Problem]:
    plain = isinstance(network, UNet2DConditional)
    factor = doublings(network.channels) if plain else HALVINGS_STL10
    if shape.height % factor or shape.width % factor:
        msg = f"needs sides divisible by {factor}, but {kind} is {shape.height} x {shape.width}"
        yield Problem(("network", "channels"), msg)


def _conditional_network_is_consistent(spec: Spec) -> Iterator[Problem]:
    match spec.network:
        case UNet2DConditional() as network:
            yield from _unet_is_consistent(network)
        case UNetStl10() as network:
            for index, width in enumerate(network.channels):
                if width % network.norm_groups or width % network.num_heads or width % 2:
                    msg = f"expected an even multiple of norm_groups = {network.norm_groups}"
                    msg = f"{msg} and num_heads = {network.num_heads}, got {width}"
                    yield Problem(("network", "channels", index), msg)
        case _:
            pass


def _unet_is_consistent(network: UNet2DConditional) -> Iterator[Problem]:
    if len(network.attention) != len(network.channels):
        msg = f"expected {len(network.channels)} entries, one a width"
        yield Problem(("network", "attention"), f"{msg}, got {len(network.attention)}")
    if network.enters == "cross-attention" and not any(network.attention):
        msg = "the condition enters by cross-attention, expected a stage that attends; got none"
        yield Problem(("network", "attention"), msg)
    for index, width in enumerate(network.channels):
        if width % network.norm_groups:
            msg = f"expected a multiple of norm_groups = {network.norm_groups}, got {width}"
            yield Problem(("network", "channels", index), msg)


def _classes_are_told_apart(spec: Spec) -> Iterator[Problem]:
    """Two classes of one row, or a class of the row of none, cannot be asked for."""
    condition = getattr(spec.network, "condition", None)
    if not isinstance(condition, VectorTable):
        return
    path = ("network", "condition")
    yield from repeated(condition.rows, (*path, "rows"))
    if condition.null_row in condition.rows:
        label = condition.rows.index(condition.null_row)
        msg = f"expected a row that no class is told as, got that of class {label}"
        yield Problem((*path, "null_row"), f"{msg}: {condition.null_row}")


def _condition_is_learned(spec: Spec) -> Iterator[Problem]:
    conditional = isinstance(spec.network, ConditionalNetwork)
    if conditional and spec.objective and not isinstance(spec.objective, Denoise):
        msg = f"is no network of a {spec.objective.kind} objective; expected denoise"
        yield Problem(("network", "kind"), msg)
    dropout = getattr(spec.objective, "condition_dropout", 0.0)
    if dropout and spec.network and not conditional:
        msg = f"{spec.network.kind} takes no labels to drop; expected 0, or one of: {_kinds()}"
        yield Problem(("objective", "condition_dropout"), f"{msg}; got {dropout}")


def _guidance_is_possible(spec: Spec) -> Iterator[Problem]:
    for table in ("evaluate", "probe"):
        for index, each in enumerate(getattr(spec, table)):
            sample = getattr(each, "sample", None)
            if isinstance(sample, FromCheckpoint) and sample.guidance:
                for message in _unguidable(spec, sample):
                    yield Problem((table, index, "sample", "guidance"), message)


def _unguidable(spec: Spec, sample: FromCheckpoint) -> Iterator[str]:
    if isinstance(sample.sampler, OneStep):
        yield "one-step has a guidance scale of its own, alpha; expected none"
    elif spec.network and not isinstance(spec.network, ConditionalNetwork):
        yield f"{spec.network.kind} takes no labels; expected none, or one of: {_kinds()}"
    elif getattr(spec.objective, "condition_dropout", None) == 0:
        msg = "the null token was never trained; expected objective.condition_dropout above 0"
        yield f"{msg}, got 0.0"


def _kinds() -> str:
    members: tuple[Any, ...] = get_args(ConditionalNetwork)
    return ", ".join(each.kind for each in members)


CHECKS = (
    (("data", "network"), _conditional_network_fits_data),
    (("network",), _conditional_network_is_consistent),
    (("network",), _classes_are_told_apart),
    (("network", "objective"), _condition_is_learned),
    (("network", "objective", "evaluate", "probe"), _guidance_is_possible),
)
