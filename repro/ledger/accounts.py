"""What each execution says of stages and artifacts, read from the segments for garbage collection.

Every record counts here, also those of a kind that only a newer version of this package knows: a
digest in one of them is an artifact that somebody may need.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import field, frozen

from repro.errors import IntegrityError
from repro.ledger import history
from repro.ledger.chain import ChainError, Line
from repro.ledger.history import Status
from repro.ledger.records import (
    Artifact,
    Checkpoint,
    Measurement,
    StageEvent,
    Start,
    Verdict,
)

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")


@frozen(kw_only=True, eq=False)
class Account:
    """What one execution says.

    `reused` are stages that another execution did, each with that execution. `weighed` are the
    measurements, by execution and record, that its verdicts admitted or refused. `strange` are the
    digests in records of an unknown kind. `last_word_at` counts in s since the epoch.
    """

    execution_id: str
    status: Status
    last_word_at: float
    start: Start
    done: set[str] = field(factory=set)
    reused: dict[str, str] = field(factory=dict)
    artifacts: list[Artifact] = field(factory=list)
    checkpoints: list[Checkpoint] = field(factory=list)
    measurements: dict[int, Measurement] = field(factory=dict)
    weighed: list[tuple[str, int]] = field(factory=list)
    strange: set[str] = field(factory=set)

    @property
    def over(self) -> bool:
        """Whether it ended, by itself or not."""
        return self.status not in ("running", "open")

    @property
    def plan(self) -> dict[str, tuple[str, ...]]:
        """Its stages, each with those that it builds on."""
        return {
            str(each.get("stage_id")): tuple(each.get("inputs", ())) for each in self.start.stages
        }

    def stages(self) -> set[str]:
        """The stages that it left anything of."""
        of_artifacts = {each.stage_id for each in self.artifacts if each.stage_id is not None}
        of_trainings = {each.stage_id for each in self.checkpoints}
        return of_artifacts | of_trainings | {each.stage_id for each in self.measurements.values()}

    def named(self) -> Iterator[tuple[str, str, str]]:
        """Every artifact that it names: digest, role, and what it was called."""
        for artifact in self.artifacts:
            yield artifact.sha256, artifact.role, artifact.name
        for checkpoint in self.checkpoints:
            yield checkpoint.weights, "weights", f"step {checkpoint.step}"
            if checkpoint.state is not None:
                yield checkpoint.state, "state", f"step {checkpoint.step}"
        for measurement in self.measurements.values():
            for role in ("samples", "features", "influence", "reference"):
                if (sha256 := getattr(measurement, role)) is not None:
                    yield sha256, role, measurement.evaluation


def read(root: Path) -> list[Account]:
    """What every execution says, oldest first.

    Raises:
        IntegrityError: a segment is broken, so that nobody can tell what it names.
    """
    status = {each.execution_id: each.status for each in history.executions(root)}
    found, problems = list[Account](), list[str]()
    for path in history.segment_paths(root):
        try:
            found += _read(path, status.get(path.stem, "running"))  # not there a moment ago
        except ChainError as error:
            problems.append(f"{path}: {error}; `verify` says more")
    if problems:
        raise IntegrityError(*problems)
    return found


def _read(path: Path, status: Status) -> Iterator[Account]:
    """The account in a segment; nothing if its first record is not whole yet."""
    account = None
    last_word_at = path.stat().st_mtime
    for line in history.read_lines(path):
        record = history.decoded(line)
        if account is None:
            if not isinstance(record, Start):
                problem = "is not a start"
                raise ChainError(line.seq, problem, expected=Start.kind, found=line.kind)
            account = Account(
                execution_id=path.stem, status=status, last_word_at=last_word_at, start=record
            )
        else:
            _take_in(account, line, record)
    if account is not None:
        yield account


def _take_in(account: Account, line: Line, record: object) -> None:
    match record:
        case StageEvent(event="done", stage_id=stage_id):
            account.done.add(stage_id)
        case StageEvent(event="reused", stage_id=stage_id, facts=facts):
            account.reused[stage_id] = str(facts.get("execution_id"))
        case Artifact():
            account.artifacts.append(record)
        case Checkpoint():
            account.checkpoints.append(record)
        case Measurement():
            account.measurements[line.seq] = record
        case Verdict():
            account.weighed.extend(
                (str(each.get("execution_id")), int(each["seq"]))
                for each in (*record.admitted, *record.refused)
                if each.get("seq") is not None
            )
        case None:
            account.strange.update(each.decode() for each in _DIGEST.findall(line.raw))
        case _:
            pass
