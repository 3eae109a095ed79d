"""Choosing among evaluations by a measured value, on the record."""

import math
from collections.abc import Mapping
from typing import Any

from repro.engine.execution import Execution
from repro.errors import RunError
from repro.ledger.records import Decision
from repro.spec import Stage
from repro.spec.plan import Selection


def select(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Record the candidates, their values and the chosen one.

    A later claim on the chosen value needs fresh samples: it was picked because it was extreme.

    Raises:
        RunError: when a candidate has no finite value of the metric.
    """
    part: Selection = stage.spec
    candidates, chosen = _chosen(execution, stage)
    facts = {"primary": part.primary, "candidates": candidates, "chosen": chosen["evaluation"]}
    execution.record(Decision(topic="selection", stage_id=stage.stage_id, facts=facts))
    return {"chosen": chosen["evaluation"]}


def checkpoint_of(execution: Execution, stage: Stage) -> int | None:
    """The checkpoint that a stage reads: the one in its part, or that of what was chosen.

    What was chosen follows from the values, so it is the same in every execution.
    """
    step: int | None = stage.spec.checkpoint
    for select_stage in execution.inputs_of(stage, "select"):
        _, chosen = _chosen(execution, select_stage)
        sampled = execution.only_input(execution.stages[chosen["stage_id"]], "sample")
        step = checkpoint_of(execution, sampled)
    return step


def _chosen(execution: Execution, stage: Stage) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every candidate with its value, and the best of them; of equals, the first."""
    part: Selection = stage.spec
    metric, _, direction = part.primary.partition(":")
    candidates = [
        _candidate(execution, candidate, metric)
        for candidate in execution.inputs_of(stage, "evaluate")
    ]
    best = min if direction == "min" else max
    return candidates, best(candidates, key=lambda each: each["value"])


def _candidate(execution: Execution, stage: Stage, metric: str) -> dict[str, Any]:
    for each in execution.done[stage.stage_id].measurements:
        if each.metric == metric and each.value is not None and math.isfinite(each.value):
            return {
                "evaluation": stage.name,
                "stage_id": stage.stage_id,
                "value": each.value,
                "se": each.se,
                "samples": each.samples,
            }
    msg = f"select: evaluation {stage.name!r} has no finite {metric} to choose by"
    raise RunError(msg)
