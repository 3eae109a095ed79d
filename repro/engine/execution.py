"""One attempt at a run, as its stages see it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from repro.engine.progress import Progress
from repro.ledger import store
from repro.ledger.history import DoneStage
from repro.ledger.records import Artifact, Record
from repro.ledger.segment import Segment
from repro.ledger.store import Stored
from repro.spec import Spec, Stage


@frozen(kw_only=True, eq=False)
class Execution:
    """What a stage may use: the spec, what earlier stages left, and where to record.

    `done` and `datasets` fill up as the stages of this execution finish and load.
    """

    spec: Spec
    stages: Mapping[str, Stage]
    segment: Segment
    root: Path
    cache: Path
    device: str
    offline: bool
    rehearsal: bool
    progress: Progress
    done: dict[str, DoneStage] = field(factory=dict)
    datasets: dict[Any, Any] = field(factory=dict)
    records: list[Record] = field(factory=list)

    def record(self, record: Record) -> None:
        """Append to the ledger; it is on the disk when this returns."""
        self.segment.append(record)
        self.records.append(record)

    def inputs_of(self, stage: Stage, kind: str) -> list[Stage]:
        """The stages of one kind that this one builds on directly."""
        return [self.stages[each] for each in stage.inputs if self.stages[each].kind == kind]

    def only_input(self, stage: Stage, kind: str) -> Stage:
        """The one stage of this kind that this one builds on."""
        (found,) = self.inputs_of(stage, kind)
        return found

    def artifact(self, stage: Stage, role: str) -> Artifact:
        """The artifact that a finished stage left in this role."""
        (found,) = [each for each in self.done[stage.stage_id].artifacts if each.role == role]
        return found

    def path_of(self, stage: Stage, role: str) -> Path:
        """Its file, read again and held to its digest."""
        return store.check(self.root, self.artifact(stage, role).sha256)

    def keep(
        self,
        stage: Stage,
        stored: Stored,
        *,
        role: str,
        name: str,
        media_type: str = "application/octet-stream",
        facts: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Record what was stored as an artifact of a stage."""
        artifact = Artifact(
            stage_id=stage.stage_id,
            role=role,
            name=name,
            sha256=stored.sha256,
            xxh3_128=stored.xxh3_128,
            size_bytes=stored.size_bytes,
            media_type=media_type,
            facts=facts or {},
        )
        self.record(artifact)
        return artifact
