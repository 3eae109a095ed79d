"""Which function runs which kind of stage."""

from collections.abc import Callable, Mapping
from typing import Any

from repro.engine.execution import Execution
from repro.engine.stages.calibrate import calibrate
from repro.engine.stages.encode import encode
from repro.engine.stages.evaluate import evaluate, reference
from repro.engine.stages.prepare import prepare
from repro.engine.stages.probe import probe
from repro.engine.stages.sample import sample
from repro.engine.stages.select import select
from repro.engine.stages.train import encoder, export, train
from repro.spec import Stage

STAGES: Mapping[str, Callable[[Execution, Stage], Mapping[str, Any]]] = {
    "prepare": prepare,
    "encode": encode,
    "reference": reference,
    "encoder": encoder,
    "train": train,
    "export": export,
    "calibrate": calibrate,
    "sample": sample,
    "evaluate": evaluate,
    "select": select,
    "probe": probe,
}
