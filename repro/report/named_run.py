"""A run as a person names it: a spec file, or how a recorded run's or execution's id begins."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from repro import digest
from repro.errors import IntegrityError, LedgerError, SpecError
from repro.ledger import history
from repro.ledger.chain import ChainError
from repro.ledger.history import Execution
from repro.spec import Spec, canonical_spec, load, run_id, spec_of, stages


@frozen(kw_only=True)
class PlannedStage:
    """A stage of a run's plan; no `payload` where only the plan was recorded and can be read."""

    kind: str
    name: str
    stage_id: str
    inputs: tuple[str, ...]
    payload: Mapping[str, Any] | None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the other stages of its plan: evaluations may share an id."""
        return self.stage_id, self.name


@frozen(kw_only=True)
class NamedRun:
    """A run: `spec` is the plain data that its id is the digest of.

    `execution_id` is none unless one execution was named, and not a run of several.
    """

    name: str
    run_id: str
    title: str
    spec: Mapping[str, Any]
    stages: tuple[PlannedStage, ...]
    execution_id: str | None = None


def named_run(root: Path, name: str, *, overrides: Sequence[str] = ()) -> NamedRun:
    """The run that a spec file describes, or that the ledger knows by such an id.

    *overrides*, `a.b=value`, are for spec files.

    Raises:
        SpecError: the file cannot be read as a spec, or describes several runs; or there are
            overrides of a recorded run, which is what it is.
        LedgerError: there is no ledger, or no run, or more than one, has such an id.
        IntegrityError: the ledger does not hold the spec that the run's id names.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return _of_file(name, load(path, overrides=overrides))
    if overrides:
        raise SpecError(f"{name}: a recorded run is what it is; --set is for a spec file")
    return _recorded(root, name)


def _of_file(name: str, found: Sequence[Spec]) -> NamedRun:
    if len(found) != 1:
        raise SpecError(
            f"{name}: describes {len(found)} runs, expected one; name a recorded run by its id, or"
            " give this one as the second to `explain` and choose with --set a.b=value"
        )
    (spec,) = found
    return NamedRun(
        name=name,
        run_id=run_id(spec),
        title=spec.title,
        spec=json.loads(canonical_spec(spec)),
        stages=_planned(spec),
    )


def _recorded(root: Path, name: str) -> NamedRun:
    found = history.find(root, name)
    newest = found[-1]
    start = newest.start
    if start.run_id is None or start.canonical_spec is None:
        raise LedgerError(f"{root}: {name!r} is a {start.purpose}, expected a run: it has no spec")
    try:
        spec = history.recorded_spec(start)
    except ChainError as error:
        path = root / "segments" / f"{newest.execution_id}.jsonl"
        raise IntegrityError(f"{path}: {error}") from error
    return NamedRun(
        name=name,
        run_id=start.run_id,
        title=start.title,
        spec=spec,
        stages=_planned_then(newest),
        execution_id=None if start.run_id.startswith(name) else newest.execution_id,
    )


def _planned_then(execution: Execution) -> tuple[PlannedStage, ...]:
    """The stages of a recorded run; where another version wrote its spec, the plan as recorded."""
    start = execution.start
    try:
        return _planned(spec_of((start.canonical_spec or "").encode()))
    except SpecError:
        return tuple(
            PlannedStage(
                kind=str(each.get("kind")),
                name=str(each.get("name")),
                stage_id=str(each.get("stage_id")),
                inputs=tuple(each.get("inputs", ())),
                payload=None,
            )
            for each in start.stages
        )


def _planned(spec: Spec) -> tuple[PlannedStage, ...]:
    return tuple(
        PlannedStage(
            kind=stage.kind,
            name=stage.name,
            stage_id=stage.stage_id,
            inputs=stage.inputs,
            payload=json.loads(digest.canonical(stage.payload)),
        )
        for stage in stages(spec)
    )
