"""Which source of reals a queue's spec stands for."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.engine.reals.sample_queue import sample_queue
from repro.engine.reals.source import Reals
from repro.engine.reals.whole_set import whole_set
from repro.spec.reals import Banks, NoQueue

REALS: Mapping[type, Callable[[Any, NDArray[np.int64]], Reals]] = {
    NoQueue: lambda spec, labels: whole_set(labels),
    Banks: sample_queue,
}
