"""What the ledger holds that a report may speak of, as frozen rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen


@frozen(kw_only=True)
class Execution:
    """One attempt at a run, and how it ended; `canonical_spec` is what its id is the digest of."""

    execution_id: str
    run_id: str | None
    purpose: str
    study: str
    title: str
    spec_path: str
    command: Sequence[str]
    started_at: str
    outcome: str
    merkle_root: str | None
    canonical_spec: str | None = field(repr=False)


@frozen(kw_only=True)
class Row:
    """One measurement, as recorded."""

    execution_id: str
    seq: int
    stage_id: str
    evaluation: str
    checkpoint_step: int | None
    metric: str
    value: float | None
    se: float | None
    se_kind: str
    unit: str
    num_samples: int
    protocol_id: str
    samples: str
    features: str | None
    influence: str | None
    reference: str | None
    pairing: str
    facts: Mapping[str, Any] = field(repr=False)

    def fact(self, *path: str) -> Any:
        """A recorded fact, or None where the record does not have it."""
        found: Any = self.facts
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


@frozen(kw_only=True)
class File:
    """An artifact as recorded."""

    execution_id: str
    stage_id: str | None
    role: str
    name: str
    sha256: str
    size_bytes: int
    media_type: str


@frozen(kw_only=True)
class Provenance:
    """What one provider recorded about an execution."""

    execution_id: str
    provider: str
    status: str
    value: Mapping[str, Any]
    reason: str


@frozen(kw_only=True)
class Checkpoint:
    """Weights after `step` updates."""

    execution_id: str
    stage_id: str
    step: int
    weights: str


@frozen(kw_only=True)
class Calibration:
    """Whether an instrument gave its known answer."""

    execution_id: str
    stage_id: str
    passed: bool
    facts: Mapping[str, Any]


@frozen(kw_only=True)
class Event:
    """A stage started, ended or was found done."""

    execution_id: str
    stage_id: str
    stage_kind: str
    event: str
    elapsed_s: float | None
    facts: Mapping[str, Any]


@frozen(kw_only=True)
class Decision:
    """A choice that later numbers depend on."""

    execution_id: str
    stage_id: str | None
    topic: str
    facts: Mapping[str, Any]


@frozen(kw_only=True)
class Protocol:
    """The facts behind a protocol id."""

    protocol_id: str
    facts: Mapping[str, Any]
