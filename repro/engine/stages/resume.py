"""What is recorded when a stage goes on from what another execution left."""

from collections.abc import Mapping
from typing import Any

from repro.engine.device import COMPUTING, computing
from repro.engine.execution import Execution
from repro.ledger.records import Decision, Provenance
from repro.spec import Stage


def note_other_place(
    execution: Execution,
    stage: Stage,
    earlier_id: str,
    provenance: Mapping[str, Provenance],
    *,
    after: Mapping[str, Any],
) -> None:
    """Record that a stage goes on where rounding may differ: no single place repeats it.

    *provenance* is what the earlier execution knew of its place, *after* how far it came.
    """
    now = computing(execution.device).value
    known = provenance.get(COMPUTING)
    then = known.value if known else None
    if then != now:
        facts = {
            "name": "resumed-elsewhere",
            "resumed_from": earlier_id,
            **after,
            "then": then,
            "now": now,
        }
        execution.record(Decision(topic="deviation", stage_id=stage.stage_id, facts=facts))
