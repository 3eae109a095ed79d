"""Putting a number on record, with the protocol that it was measured under."""

from collections.abc import Mapping
from typing import Any

from repro.engine.evaluation.evaluate import Measured
from repro.engine.execution import Execution
from repro.engine.probes.probe import Value
from repro.ledger.records import Measurement, Protocol
from repro.metrics.protocol import protocol_id
from repro.spec import Stage


def keep_measured(
    execution: Execution,
    stage: Stage,
    number: Measured | Value,
    *,
    step: int | None,
    num_samples: int,
    protocol: Mapping[str, Any],
    rests_on: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Record *number*, of the checkpoint after *step* updates if it is of one.

    *rests_on* are the digests of the files that it was computed from, under the names of
    `Measurement`, and how its samples pair with those of another set.
    """
    named = protocol_id(protocol)
    execution.record(Protocol(protocol_id=named, facts=protocol))
    execution.record(
        Measurement(
            stage_id=stage.stage_id,
            evaluation=stage.name,
            checkpoint_step=step,
            metric=number.metric,
            value=number.value,
            se=number.se,
            se_kind=number.se_kind,
            unit=number.unit,
            num_samples=num_samples,
            protocol_id=named,
            facts=facts,
            **rests_on,
        )
    )
