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
    """Read the data set; return what is known of its content.

    `shape` is one example as networks see it: [channels, height, width], or [2] for points. Later
    stages build networks from these facts and need not read the data again.
    """
    data = load(execution, stage.spec)
    facts = {
        "digest": data.digest,
        "num_classes": data.num_classes,
        "shape": list(data.shape),
    }
    if isinstance(data, Points):
        return facts
    for note in data.notes:
        execution.progress.notify(note)
    return {**facts, "num_images": len(data.images)}


def load(execution: Execution, spec: Dataset) -> Images | Points:
    """The data set; stages of one execution share it in memory."""
    if spec not in execution.datasets:
        with execution.progress.track(f"read {spec.kind}", 1) as advance:
            execution.datasets[spec] = builder_of(spec)(spec, execution.cache)
            advance(1)
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
