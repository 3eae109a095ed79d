"""What a training learns from: a data set as it is, or the latents that stand in its place."""

from collections.abc import Mapping
from typing import Any

from repro.engine.datasets import EncodedImages, Images, Points
from repro.engine.edm.codec import seen_shape
from repro.engine.execution import Execution
from repro.engine.stages.latents import load_latents
from repro.engine.stages.prepare import load
from repro.errors import RunError
from repro.spec import Stage

SOURCES = ("prepare", "encode")
"""The kinds of stage that make the data of a training."""


def source_of(execution: Execution, stage: Stage) -> Stage:
    """The stage below a training that made its data."""
    (found,) = [each for kind in SOURCES for each in execution.inputs_of(stage, kind)]
    return found


def known_of(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """What is known of the data of a training, without reading them."""
    return execution.done[source_of(execution, stage).stage_id].event.facts


def shape_seen(execution: Execution, stage: Stage) -> tuple[int, ...]:
    """The shape of what the network of a train stage sees of an example."""
    return seen_shape(stage.spec.objective, known_of(execution, stage)["shape"])


def examples_of(execution: Execution, stage: Stage) -> Images | EncodedImages | Points:
    """The data of a training; stages of one execution share them."""
    source = source_of(execution, stage)
    if source.kind == "encode":
        return load_latents(execution, source)
    return load(execution, source.spec)


def images_of(execution: Execution, stage: Stage) -> Images | EncodedImages:
    """The data of a training, which must be images, or latents of images.

    Raises:
        RunError: they are points.
    """
    data = examples_of(execution, stage)
    if isinstance(data, Points):
        msg = f"{stage.name}: the data are points; this stage needs images"
        raise RunError(msg)
    return data
