"""The ledger as a report reads it: once, and every proof verified when it is asked for."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import fields, frozen

from repro.digest import canonical
from repro.errors import IntegrityError
from repro.ledger import store
from repro.ledger.database import query
from repro.ledger.verify import verify
from repro.report.rows import (
    Calibration,
    Checkpoint,
    Decision,
    Event,
    Execution,
    File,
    Protocol,
    Provenance,
    Row,
)
from repro.spec import Stage, spec_of, stages
from repro.spec.evaluate import DatasetReference, ShippedReference
from repro.spec.sample import FromCheckpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from repro.metrics.reference import ReferenceStatistics


Staged = TypeVar("Staged", Row, File, Checkpoint, Calibration, Event)
Record = TypeVar("Record")


@frozen(kw_only=True)
class Recomputed:
    """A value and its error as the stored files give them now."""

    value: float
    se: float | None


class Archive:
    """The ledger as a report reads it. Every file and every chain is verified at most once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._chains: dict[str, str] = {}
        self._checked: dict[str, Path | IntegrityError] = {}
        self._recomputed: dict[tuple[str, int], Recomputed] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._references: dict[str | None, ReferenceStatistics] = {}
        self._plans: dict[str, Mapping[str, Stage]] = {}

    @cached_property
    def executions(self) -> Mapping[str, Execution]:
        """Every attempt, oldest first."""
        statement = (
            "SELECT executions.*, starts.canonical_spec FROM executions"
            " JOIN starts USING (execution_id) ORDER BY execution_id"
        )
        return {each.execution_id: each for each in self._read(Execution, statement)}

    @cached_property
    def rows(self) -> Mapping[str, Sequence[Row]]:
        """Every measurement by its stage, oldest first."""
        return self._by_stage(Row, "measurements")

    @cached_property
    def files(self) -> Mapping[str, Sequence[File]]:
        """Every artifact of a stage, oldest first."""
        return self._by_stage(File, "artifacts")

    @cached_property
    def checkpoints(self) -> Mapping[str, Sequence[Checkpoint]]:
        """Every checkpoint of a stage, oldest first."""
        return self._by_stage(Checkpoint, "checkpoints")

    @cached_property
    def calibrations(self) -> Mapping[str, Sequence[Calibration]]:
        """Every calibration of a stage, oldest first."""
        return self._by_stage(Calibration, "calibrations")

    @cached_property
    def events(self) -> Mapping[str, Sequence[Event]]:
        """What befell a stage, oldest first."""
        return self._by_stage(Event, "stage_events")

    @cached_property
    def decisions(self) -> Sequence[Decision]:
        """Every recorded choice, oldest first."""
        return tuple(self._read(Decision, _ordered("decisions")))

    @cached_property
    def protocols(self) -> Mapping[str, Mapping[str, Any]]:
        """The facts of each protocol; the first record of an id counts."""
        found = list(self._read(Protocol, _ordered("protocols")))
        return {each.protocol_id: each.facts for each in reversed(found)}

    @cached_property
    def provenance(self) -> Mapping[str, Mapping[str, Provenance]]:
        """What is known of an execution's code, machine and environment, by provider."""
        by_execution: dict[str, dict[str, Provenance]] = defaultdict(dict)
        for each in self._read(Provenance, _ordered("provenance")):
            by_execution[each.execution_id][each.provider] = each
        return by_execution

    def plan(self, execution_id: str) -> Mapping[str, Stage]:
        """The stages of an execution's run, from its recorded spec.

        Raises:
            SpecError: the recorded spec is not the one that the run's id names.
        """
        if execution_id not in self._plans:
            execution = self.executions[execution_id]
            found: tuple[Stage, ...] = ()
            if execution.canonical_spec is not None:
                recorded = execution.canonical_spec.encode()
                found = stages(spec_of(recorded, recorded_id=execution.run_id))
            self._plans[execution_id] = {stage.stage_id: stage for stage in found}
        return self._plans[execution_id]

    def upstream(self, row: Row) -> tuple[Stage, ...]:
        """The stage that measured, and every stage that it rests on.

        Raises:
            IntegrityError: the stage is not part of the run that recorded it.
        """
        plan = self.plan(row.execution_id)
        if row.stage_id not in plan:
            msg = f"stage {row.stage_id} is not part of the run that recorded it"
            raise IntegrityError(msg)
        found: dict[str, Stage] = {}
        waiting = [row.stage_id]
        while waiting:
            stage = plan[waiting.pop()]
            found[stage.stage_id] = stage
            waiting += [each for each in stage.inputs if each not in found]
        return tuple(found.values())

    def lineage(self, row: Row) -> tuple[str, ...]:
        """The execution that measured, and every one that worked on what the value rests on."""
        workers = [
            event.execution_id
            for stage in self.upstream(row)
            for event in self.events.get(stage.stage_id, ())
            if event.event in ("started", "done")
        ]
        return tuple(dict.fromkeys((row.execution_id, *sorted(workers))))

    def whole_reference(self, row: Row) -> bool:
        """Whether the reference is known to hold every image of its split."""
        part: Any = next(each.spec for each in self.upstream(row) if each.kind == "reference")
        match part.reference:
            case DatasetReference(num_images=num_images):
                return num_images is None
            case reference:
                return isinstance(reference, ShippedReference)

    def sampling(self, row: Row) -> Stage:
        """The stage that made the images of a measurement."""
        return next(stage for stage in self.upstream(row) if stage.kind == "sample")

    def generator(self, row: Row) -> tuple[Any, ...]:
        """What made the images, whatever their seeds and number: weights and sampler, or data."""
        stage = self.sampling(row)
        part: Any = stage.spec
        if isinstance(part.sample, FromCheckpoint):
            sampler = part.sample.sampler.kind
            return (*stage.inputs, part.checkpoint, part.sample.weights, sampler)
        return (part.sample.kind, *stage.inputs)

    def generation(self, row: Row) -> bytes:
        """How the images were made, all but their seeds and number."""
        return canonical(_but_seeds(self.sampling(row)))

    def influence(self, row: Row) -> "NDArray[np.float64]":
        """The influence values of a measurement, one an image.

        Raises:
            IntegrityError: the file is missing or changed.
        """
        from repro.metrics.influence import read_influence

        return read_influence(self.check(row.influence or "none"), metric=row.metric)

    def counted(self, row: Row) -> tuple[int, int]:
        """How many images are stored, and how many of them are different.

        Raises:
            IntegrityError: the file is missing, changed, or holds no images.
        """
        if row.samples not in self._counts:
            images = _tensor(self.check(row.samples), "images")
            different = {hashlib.sha256(image.tobytes()).digest() for image in images}
            self._counts[row.samples] = len(images), len(different)
        return self._counts[row.samples]

    def recomputed(self, row: Row) -> Recomputed:
        """The value of a measurement from the stored features, its error from the influence.

        Raises:
            IntegrityError: a file is missing or changed, or is not what was measured.
        """
        key = row.execution_id, row.seq
        if key not in self._recomputed:
            self._recomputed[key] = self._recompute(row)
        return self._recomputed[key]

    def _recompute(self, row: Row) -> Recomputed:
        from repro.metrics import influence, measure
        from repro.metrics.features import read_features

        features = read_features(self.check(row.features or "none"))
        if len(features.pool3) != row.num_samples:
            msg = f"{len(features.pool3)} features are stored of {row.num_samples} images"
            raise IntegrityError(msg)
        reference = self._reference(row)
        if {"digest": reference.digest, **reference.facts} != row.fact("reference"):
            msg = "the stored reference is not the one that the measurement describes"
            raise IntegrityError(msg)
        value = measure.RECOMPUTE[row.metric](features, reference, row.fact("formula") or {})
        error = influence.standard_error(self.influence(row)) if row.influence else None
        return Recomputed(value=value, se=error)

    def closed(self, row: Row) -> bool:
        """Whether its execution is sealed, or a sealed one reused what it measured."""
        sealed = {each.execution_id for each in self.executions.values() if each.merkle_root}
        return row.execution_id in sealed or any(
            event.execution_id in sealed
            and event.event == "reused"
            and event.facts.get("execution_id") == row.execution_id
            for event in self.events.get(row.stage_id, ())
        )

    def chain_problem(self, execution_id: str) -> str:
        """The first broken link of an execution's records, or nothing."""
        if execution_id not in self._chains:
            findings = verify(self.root, execution_id=execution_id)
            self._chains[execution_id] = str(findings[0]) if findings else ""
        return self._chains[execution_id]

    def check(self, sha256: str) -> Path:
        """The path of a file whose bytes still give its digest; read at most once a report.

        Raises:
            IntegrityError: it is missing or was changed.
        """
        if sha256 not in self._checked:
            try:
                self._checked[sha256] = store.check(self.root, sha256)
            except IntegrityError as error:
                self._checked[sha256] = error
        found = self._checked[sha256]
        if isinstance(found, IntegrityError):
            raise found
        return found

    def missing(self, row: Row) -> str:
        """What a value rests on that is no longer there, or nothing."""
        for role, sha256 in self.rests_on(row).items():
            if not store.path_of(self.root, sha256).is_file():
                return f"{role} {sha256[:19]}… is gone"
        return ""

    def rests_on(self, row: Row) -> Mapping[str, str]:
        """The digest of every file behind a value, by what the file is."""
        own = {
            "samples": row.samples,
            "features": row.features,
            "influence": row.influence,
            "reference": row.reference,
        }
        named = {role: sha256 for role, sha256 in own.items() if sha256 is not None}
        return named | self._weights(row)

    @cached_property
    def chosen(self) -> Sequence[tuple[Row, str]]:
        """Every measurement that a run's `select` stage picks, and the rule that picks it.

        It is derived from the plans and the values, whatever was recorded of the choice.
        """
        found = {}
        for execution_id in self.executions:
            for stage in self.plan(execution_id).values():
                if stage.kind == "select" and stage.stage_id not in found:
                    row = self._best(stage)
                    if row is not None:
                        found[stage.stage_id] = (row, _primary(stage))
        return tuple(found.values())

    def shares_samples(self, row: Row, other: Row) -> bool:
        """Whether two measurements are of sets with images in common."""
        if row.samples == other.samples:
            return True
        own, others = self.sampling(row), self.sampling(other)
        if _but_seeds(own) != _but_seeds(others):
            return False
        first, second = _sample_set(own), _sample_set(others)
        return bool(
            first.seed < second.seed + second.num_samples
            and second.seed < first.seed + first.num_samples
        )

    def deviations(self, row: Row) -> set[str]:
        """The deviations that were recorded for anything that a value rests on."""
        lineage = set(self.lineage(row))
        stage_ids = {None, *(stage.stage_id for stage in self.upstream(row))}
        return {
            str(each.facts.get("name", "unnamed"))
            for each in self.decisions
            if each.topic == "deviation"
            and each.execution_id in lineage
            and each.stage_id in stage_ids
        }

    def _best(self, select: Stage) -> Row | None:
        metric, _, direction = _primary(select).partition(":")
        rows = [
            row
            for stage_id in select.inputs
            for row in self.rows.get(stage_id, ())
            if row.metric == metric and row.value is not None
        ]
        best = min if direction == "min" else max
        return best(rows, key=lambda row: row.value or 0.0, default=None)

    def _reference(self, row: Row) -> "ReferenceStatistics":
        from repro.metrics.reference import read_reference

        if row.reference not in self._references:
            path = self.check(row.reference or "none")
            self._references[row.reference] = read_reference(path)
        return self._references[row.reference]

    def sheet(self, row: Row) -> File | None:
        """The picture of the first images of a measurement."""
        found = self.files.get(self.sampling(row).stage_id, ())
        return next((file for file in reversed(found) if file.role == "sheet"), None)

    def curves(self, stage_id: str) -> Mapping[str, Sequence[tuple[int, float]]]:
        """The recorded numbers of a stage by name: (step, value), repeated steps once."""
        statement = (
            "SELECT name, step, arg_max(value, (execution_id, seq)) FROM progress"
            " WHERE stage_id = ? GROUP BY name, step ORDER BY name, step"
        )
        curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for name, step, value in query(self.root, statement, [stage_id]).rows:
            curves[name].append((step, value))
        return curves

    def _weights(self, row: Row) -> dict[str, str]:
        found = {}
        for stage in self.upstream(row):
            saved = self.checkpoints.get(stage.stage_id, ())
            wanted = (
                row.checkpoint_step if stage.kind == "train" else saved[-1].step if saved else 0
            )
            for checkpoint in saved:
                if checkpoint.step == wanted:
                    found[f"{stage.kind} weights after step {wanted}"] = checkpoint.weights
        return found

    def _by_stage(self, class_: type[Staged], table: str) -> Mapping[str, Sequence[Staged]]:
        by_stage: dict[str, list[Staged]] = defaultdict(list)
        for each in self._read(class_, _ordered(table)):
            if each.stage_id is not None:
                by_stage[each.stage_id].append(each)
        return by_stage

    def _read(self, class_: type[Record], statement: str) -> Iterator[Record]:
        table = query(self.root, statement)
        wanted = [each.name for each in fields(class_)]  # type: ignore[arg-type]
        decoders = [json.loads if type_ == "JSON" else _same for type_ in table.types]
        for row in table.rows:
            values = {
                name: value if value is None else decode(value)
                for name, decode, value in zip(table.columns, decoders, row, strict=True)
            }
            yield class_(**{name: values[name] for name in wanted})


def _ordered(table: str) -> str:
    return f"SELECT * FROM {table} ORDER BY execution_id, seq"


def _same(value: Any) -> Any:
    return value


def _primary(select: Stage) -> str:
    part: Any = select.spec
    return str(part.primary)


def _sample_set(sampling: Stage) -> Any:
    part: Any = sampling.spec
    return part.sample


def _but_seeds(stage: Stage) -> tuple[Any, ...]:
    """What images are made from, whatever their seeds and number."""
    sample = {
        name: value
        for name, value in stage.payload["sample"].items()
        if name not in ("seed", "num_samples")
    }
    return stage.inputs, stage.payload.get("checkpoint"), sample


def _tensor(path: Path, name: str) -> "NDArray[Any]":
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found: NDArray[Any] = load_file(path)[name]
    except (KeyError, SafetensorError) as error:
        msg = f"{path}: expected a tensor {name!r} ({error})"
        raise IntegrityError(msg) from error
    return found
