"""Reading a data set whole, held to its digest, once an execution."""

from collections.abc import Mapping
from typing import Any

from repro.engine.builders import builder_of
from repro.engine.datasets import Images, Points
from repro.engine.execution import Execution
from repro.errors import RunError
from repro.spec import Stage
from repro.spec.data import Dataset


def prepare(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Read the data set; return what is known of its content."""
    data = load(execution, stage.spec)
    if isinstance(data, Points):
        return {"digest": data.digest}
    for note in data.notes:
        execution.progress.notify(note)
    return {
        "digest": data.digest,
        "num_images": len(data.images),
        "num_classes": data.num_classes,
        "shape": list(data.images.shape[1:]),
    }


def load(execution: Execution, spec: Dataset) -> Images | Points:
    """The data set; stages of one execution share it in memory."""
    if spec not in execution.datasets:
        execution.datasets[spec] = builder_of(spec)(spec, execution.cache)
    data: Images | Points = execution.datasets[spec]
    return data


def load_images(execution: Execution, spec: Dataset) -> Images:
    """The data set, which must hold images.

    Raises:
        RunError: when it holds points.
    """
    data = load(execution, spec)
    if isinstance(data, Points):
        msg = f"data set {spec.kind!r} holds points; this stage needs images"
        raise RunError(msg)
    return data


def shape_of(data: Images | Points) -> tuple[int, ...]:
    """One example as networks see it: (channels, height, width), or (2,) for points."""
    if isinstance(data, Points):
        return (2,)
    height, width, channels = data.images.shape[1:]
    return (channels, height, width)
