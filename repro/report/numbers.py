"""The numbers that controls and plots speak of: of any stage of a run, however they were told."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

from attrs import frozen

from repro.report.archive import Archive
from repro.report.rows import Row
from repro.spec import Spec, Stage, run_id, stages

TRAIN = "train"
MEASURING = ("evaluate", "probe")
Told = Literal["measured", "calibrated", "logged"]


@frozen(kw_only=True)
class Number:
    """A number on record, with the run and the moment that it is of; `row` if it was measured."""

    value: float
    se: float | None
    told: Told
    run_id: str
    stage_id: str
    step: int | None
    execution_id: str
    row: Row | None = None


@frozen(kw_only=True)
class Place:
    """A stage of a run in which a side finds its numbers; `step` if it is one of many there."""

    spec: Spec
    stage: Stage
    below: tuple[Stage, ...]
    """The stages that it builds on, at any distance."""

    step: int | None = None

    @property
    def sampling(self) -> Stage | None:
        """The stage that made the images, if any were made."""
        return next((each for each in self.below if each.kind == "sample"), None)

    @property
    def training(self) -> Stage | None:
        """The training that all of it is of, if there is one."""
        if self.stage.kind == TRAIN:
            return self.stage
        trained = [each for each in self.below if each.kind == TRAIN]
        own = {each for stage in (self.sampling, self.stage) if stage for each in stage.inputs}
        return next((each for each in trained if each.stage_id in own), None)


def places(spec: Spec, pattern: str) -> tuple[Place, ...]:
    """Where the stages of a run are that a name, or a pattern with `*`, stands for."""
    known = {stage.stage_id: stage for stage in stages(spec)}
    found = [
        Place(spec=spec, stage=each, below=_below(each, known))
        for each in known.values()
        if each.kind in MEASURING and fnmatchcase(each.name, pattern)
    ]
    name, _, step = pattern.partition("@")
    trained = [each for each in known.values() if each.kind == TRAIN]
    if not found and name == TRAIN and trained:
        last = trained[-1]
        at = int(step) if step.isdigit() else None
        found = [Place(spec=spec, stage=last, below=_below(last, known), step=at)]
    return tuple(found)


def names(spec: Spec) -> list[str]:
    """What sides of a spec may be called."""
    own = [each.name for each in stages(spec) if each.kind in MEASURING]
    return own + [TRAIN] * any(each.kind == TRAIN for each in stages(spec))


def numbers(place: Place, metric: str, archive: Archive) -> tuple[Number, ...]:
    """The numbers of a stage: one that was measured or calibrated, or all that a training logged.

    Those of rehearsals, and of executions whose records do not verify, are left out. Of a number
    that was measured twice the first counts.
    """
    if place.stage.kind == TRAIN:
        return tuple(_logged(place, metric, archive))
    found = next(_measured(place, metric, archive), None)
    found = found or next(_calibrated(place, metric, archive), None)
    return () if found is None else (found,)


def _measured(place: Place, metric: str, archive: Archive) -> Iterator[Number]:
    for row in archive.rows.get(place.stage.stage_id, ()):
        if row.metric == metric and row.value is not None and _sound(row.execution_id, archive):
            yield Number(
                value=row.value,
                se=row.se,
                told="measured",
                run_id=run_id(place.spec),
                stage_id=row.stage_id,
                step=row.checkpoint_step,
                execution_id=row.execution_id,
                row=row,
            )


def _calibrated(place: Place, metric: str, archive: Archive) -> Iterator[Number]:
    for stage in place.below:
        for each in archive.calibrations.get(stage.stage_id, ()):
            value = each.facts.get(metric)
            if isinstance(value, int | float) and _sound(each.execution_id, archive):
                yield Number(
                    value=float(value),
                    se=None,
                    told="calibrated",
                    run_id=run_id(place.spec),
                    stage_id=stage.stage_id,
                    step=None,
                    execution_id=each.execution_id,
                )


def _logged(place: Place, metric: str, archive: Archive) -> Iterator[Number]:
    for step, value, execution_id in archive.logged(place.stage.stage_id).get(metric, ()):
        if place.step in (None, step) and _sound(execution_id, archive):
            yield Number(
                value=value,
                se=None,
                told="logged",
                run_id=run_id(place.spec),
                stage_id=place.stage.stage_id,
                step=step,
                execution_id=execution_id,
            )


def _sound(execution_id: str, archive: Archive) -> bool:
    real = archive.executions[execution_id].purpose == "run"
    return real and not archive.chain_problem(execution_id)


def _below(stage: Stage, known: Mapping[str, Stage]) -> tuple[Stage, ...]:
    found: dict[str, Stage] = {}
    waiting: list[str] = list(stage.inputs)
    while waiting:
        each = known[waiting.pop()]
        if each.stage_id not in found:
            found[each.stage_id] = each
            waiting += each.inputs
    return tuple(found.values())


def field(place: Place, path: str) -> Any:
    """A field of how the images were made, of the stage, or of the spec; None where none has it."""
    roots = [place.sampling.spec if place.sampling else None, place.stage.spec, place.spec]
    return next(
        (found for root in roots if (found := _at(root, path.split("."))) is not None), None
    )


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if isinstance(value, tuple):
            value = value[int(name)] if name.isdecimal() and int(name) < len(value) else None
        else:
            value = getattr(value, name, None)
    return value
