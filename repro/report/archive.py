"""The ledger as a report reads it: once, and every proof verified when it is asked for."""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from attrs import evolve, fields, frozen

from repro.digest import canonical
from repro.errors import IntegrityError, SpecError
from repro.ledger import history, store
from repro.ledger.database import Table, query, query_all
from repro.ledger.findings import Finding
from repro.ledger.verification import verify_records
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
from repro.spec import Spec, Stage, spec_of, stages
from repro.spec.evaluate import DatasetReference, ShippedReference
from repro.spec.sample import FromCheckpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from repro.metrics.measure import Value
    from repro.metrics.reference import ReferenceStatistics


SOURCES: Mapping[Any, tuple[str, str]] = {
    Execution: (
        "executions JOIN (SELECT execution_id, canonical_spec FROM starts) USING (execution_id)",
        "execution_id",
    ),
    Row: ("measurements", "execution_id, seq"),
    File: ("artifacts", "execution_id, seq"),
    Checkpoint: ("checkpoints", "execution_id, seq"),
    Calibration: ("calibrations", "execution_id, seq"),
    Event: ("stage_events", "execution_id, seq"),
    Decision: ("decisions", "execution_id, seq"),
    Protocol: ("protocols", "execution_id, seq"),
    Provenance: ("provenance", "execution_id, seq"),
}
"""Where each class comes from, and in which order."""

CHOOSING = ('"select":{', '"best_of":')
"""What a canonical spec holds that chooses among its own measurements."""

Staged = TypeVar("Staged", Row, File, Checkpoint, Calibration, Event)
Record = TypeVar("Record")
Made_co = TypeVar("Made_co", covariant=True)
Values = tuple[Any, ...]


class _Grouped(Mapping[str, Made_co]):
    """Rows of a large ledger by a name; those of a name are made when they are asked for."""

    def __init__(
        self, raw: Mapping[str, Sequence[Values]], make: Callable[[Sequence[Values]], Made_co]
    ) -> None:
        self._raw = raw
        self._make = make
        self._known: dict[str, Made_co] = {}

    def __getitem__(self, name: str) -> Made_co:
        if name not in self._known:
            if name not in self._raw:
                raise KeyError(name)
            self._known[name] = self._make(self._raw[name])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


@frozen(kw_only=True)
class ImageSet:
    """The images of a stored file: a name for each, of its pixels, and what they pair with."""

    names: Sequence[str]
    pairing: str

    @cached_property
    def different(self) -> frozenset[str]:
        """The names, each once."""
        return frozenset(self.names)


class Archive:
    """The ledger as a report reads it. Every file and every chain is verified at most once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._chains: dict[str, str] = {}
        self._checked: dict[str, Path | IntegrityError] = {}
        self._recomputed: dict[tuple[str, int], Value] = {}
        self._image_sets: dict[str, ImageSet] = {}
        self._references: dict[str | None, ReferenceStatistics] = {}
        self._specs: dict[tuple[str | None, str | None], Spec | None] = {}
        self._plans: dict[str, Mapping[str, Stage]] = {}
        self._logged: dict[str, Mapping[str, Sequence[tuple[int, float, str]]]] = {}

    @cached_property
    def executions(self) -> Mapping[str, Execution]:
        """Every attempt, oldest first."""
        found = self._read(Execution)
        return {each.execution_id: self._as_it_ended(each) for each in found}

    @cached_property
    def rows(self) -> Mapping[str, Sequence[Row]]:
        """Every measurement by its stage, oldest first."""
        return self._by_stage(Row)

    @cached_property
    def files(self) -> Mapping[str, Sequence[File]]:
        """Every artifact of a stage, oldest first."""
        return self._by_stage(File)

    @cached_property
    def checkpoints(self) -> Mapping[str, Sequence[Checkpoint]]:
        """Every checkpoint of a stage, oldest first."""
        return self._by_stage(Checkpoint)

    @cached_property
    def calibrations(self) -> Mapping[str, Sequence[Calibration]]:
        """Every calibration of a stage, oldest first."""
        return self._by_stage(Calibration)

    @cached_property
    def events(self) -> Mapping[str, Sequence[Event]]:
        """What befell a stage, oldest first."""
        return self._by_stage(Event)

    @cached_property
    def decisions(self) -> Sequence[Decision]:
        """Every recorded choice, oldest first."""
        return tuple(self._read(Decision))

    @cached_property
    def protocols(self) -> Mapping[str, Mapping[str, Any]]:
        """The facts of each protocol; the first record of an id counts."""
        found = list(self._read(Protocol))
        return {each.protocol_id: each.facts for each in reversed(found)}

    @cached_property
    def provenance(self) -> Mapping[str, Mapping[str, Provenance]]:
        """What is known of an execution's code, machine and environment, by provider."""
        return _Grouped(
            self._raw(Provenance, by="execution_id"),
            lambda rows: {each.provider: each for each in self._made(Provenance, rows)},
        )

    def plan(self, execution_id: str) -> Mapping[str, Stage]:
        """The stages of an execution's run, from its recorded spec.

        Raises:
            SpecError: the recorded spec is not the one that the run's id names.
        """
        if execution_id not in self._plans:
            spec = self._spec(execution_id)
            found = () if spec is None else stages(spec)
            self._plans[execution_id] = {stage.stage_id: stage for stage in found}
        return self._plans[execution_id]

    def _spec(self, execution_id: str) -> Spec | None:
        """The recorded spec of an execution, or none if it is no run.

        Raises:
            SpecError: it is not the one that the run's id names.
        """
        execution = self.executions[execution_id]
        key = execution.run_id, execution.canonical_spec
        if key not in self._specs:
            recorded = execution.canonical_spec
            self._specs[key] = (
                None
                if recorded is None
                else spec_of(recorded.encode(), recorded_id=execution.run_id)
            )
        return self._specs[key]

    def unreadable(self, studies: Iterable[str] | None = None) -> Mapping[str, str]:
        """The executions whose plan cannot be read, and why; they prove nothing, for or against.

        With *studies*, of these alone, and of those that name none.
        """
        wanted = None if studies is None else {"", *studies}
        found = {}
        for execution_id, execution in self.executions.items():
            if wanted is not None and execution.study not in wanted:
                continue
            try:
                self._spec(execution_id)
            except SpecError as error:
                more = f" (and {len(error.problems) - 1} more)" if error.problems[1:] else ""
                found[execution_id] = f"{error.problems[0]}{more}"
        return found

    def upstream(self, row: Row) -> tuple[Stage, ...]:
        """The stage that measured, and every stage that it rests on.

        Raises:
            IntegrityError: the stage is no evaluation of the run that recorded it.
        """
        plan = self.plan(row.execution_id)
        if row.stage_id not in plan or plan[row.stage_id].kind != "evaluate":
            msg = f"stage {row.stage_id} is no evaluation of the run that recorded it"
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
        parts = [each.spec for each in self._known_upstream(row) if each.kind == "reference"]
        match [part.reference for part in parts]:
            case [DatasetReference(num_images=num_images)]:
                return num_images is None
            case references:
                return any(isinstance(each, ShippedReference) for each in references)

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

    def image_set(self, row: Row) -> ImageSet:
        """The images that a measurement names.

        Raises:
            IntegrityError: the file is missing, changed, or holds no images.
        """
        from repro.metrics.image_set import image_names, pairing

        if row.samples not in self._image_sets:
            images, sources, labels = _tensors(
                self.check(row.samples), "images", "sources", "labels"
            )
            self._image_sets[row.samples] = ImageSet(
                names=image_names(images), pairing=pairing(sources, labels)
            )
        return self._image_sets[row.samples]

    def left_by(self, row: Row, stage: Stage, *, role: str, sha256: str) -> bool:
        """Whether a stage left a file, in an execution that the value rests on."""
        lineage = self.lineage(row)
        return any(
            (file.role, file.sha256) == (role, sha256) and file.execution_id in lineage
            for file in self.files.get(stage.stage_id, ())
        )

    def checkpoint(self, row: Row) -> Checkpoint | None:
        """The checkpoint that the images were made from, if it is on record.

        It is of the training and the step in the plan, and its weights are those that were loaded.
        """
        sampling, lineage = self.sampling(row), self.lineage(row)
        wanted = self.step_read(row), row.fact("sample", "weights")
        return next(
            (
                each
                for stage_id in sampling.inputs
                for each in self.checkpoints.get(stage_id, ())
                if (each.step, each.weights) == wanted and each.execution_id in lineage
            ),
            None,
        )

    def step_read(self, row: Row) -> int | None:
        """The checkpoint that the images were made from: in the plan, or chosen by values."""
        sampling = self.sampling(row)
        step: int | None = sampling.spec.checkpoint
        for stage in self.upstream(row):
            if stage.kind == "select" and stage.stage_id in sampling.inputs:
                best = self._best(stage)
                step = best.checkpoint_step if best else None
        return step

    def recomputed(self, row: Row) -> "Value":
        """The value of a measurement, and all that belongs to it, from the stored features.

        Raises:
            IntegrityError: a file is missing or changed, or is not what was measured.
        """
        key = row.execution_id, row.seq
        if key not in self._recomputed:
            self._recomputed[key] = self._recompute(row)
        return self._recomputed[key]

    def _recompute(self, row: Row) -> "Value":
        from repro.metrics import measure
        from repro.metrics.features import read_features

        features = read_features(self.check(row.features or "none"))
        if len(features.pool3) != row.num_samples:
            msg = f"{len(features.pool3)} features are stored of {row.num_samples} images"
            raise IntegrityError(msg)
        reference = self._reference(row)
        if {"digest": reference.digest, **reference.facts} != row.fact("reference"):
            msg = "the stored reference is not the one that the measurement describes"
            raise IntegrityError(msg)
        formula = row.fact("formula") or {}
        return measure.recompute(row.metric, features, reference, formula=formula)

    def closed(self, row: Row) -> bool:
        """Whether its execution is sealed, or a sealed one reused what it measured."""
        sealed = {each.execution_id for each in self.executions.values() if each.merkle_root}
        return row.execution_id in sealed or any(
            event.execution_id in sealed
            and event.event == "reused"
            and event.facts.get("execution_id") == row.execution_id
            for event in self.events.get(row.stage_id, ())
        )

    def expect(self, stage_ids: Iterable[str]) -> None:
        """Verify the records behind the measurements of these stages together.

        That is far cheaper than one execution at a time, as `chain_problem` does it.
        """
        behind: set[str] = set()
        for row in itertools.chain.from_iterable(self.rows.get(each, ()) for each in stage_ids):
            with suppress(IntegrityError, SpecError):  # the gate says so
                behind.update(self.lineage(row))
        self._follow(sorted(behind - self._chains.keys()))

    def chain_problem(self, execution_id: str) -> str:
        """The first broken link of an execution's records, or nothing."""
        if execution_id not in self._chains:
            self._follow([execution_id])
        return self._chains[execution_id]

    def _follow(self, execution_ids: Sequence[str]) -> None:
        """Verify the records of several executions; where something is broken, halve by halve."""
        if not execution_ids:
            return
        findings = verify_records(self.root, execution_ids)
        of_all = [each for each in findings if _of_whole_database(each)]
        if of_all or not findings or len(execution_ids) == 1:
            problem = str((of_all or findings)[0]) if findings else ""
            self._chains.update(dict.fromkeys(execution_ids, problem))
            return
        middle = len(execution_ids) // 2
        self._follow(execution_ids[:middle])
        self._follow(execution_ids[middle:])

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
        return {**self.own_files(row), **self._weights(row)}

    def own_files(self, row: Row) -> Mapping[str, str]:
        """The digests of the files that a measurement names itself, by their role."""
        own = {
            "samples": row.samples,
            "features": row.features,
            "influence": row.influence,
            "reference": row.reference,
        }
        return {role: sha256 for role, sha256 in own.items() if sha256 is not None}

    @cached_property
    def chosen(self) -> Sequence[tuple[Row, str]]:
        """Every measurement that a run's `select` stage picks, and the rule that picks it.

        It is derived from the plans and the values, whatever was recorded of the choice.
        """
        found = {}
        for execution_id in filter(self._selects, self.executions):
            for stage in self.plan(execution_id).values():
                if stage.kind == "select" and stage.stage_id not in found:
                    row = self._best(stage)
                    if row is not None:
                        found[stage.stage_id] = (row, _primary(stage))
        return tuple(found.values())

    def _selects(self, execution_id: str) -> bool:
        recorded = self.executions[execution_id].canonical_spec or ""
        if not any(mark in recorded for mark in CHOOSING):  # most do not, and reading takes time
            return False
        try:
            spec = self._spec(execution_id)
        except SpecError:
            return False
        if spec is None:
            return False
        choices = [each.checkpoints for each in (*spec.evaluate, *spec.probe) if each.checkpoints]
        return spec.select is not None or any(each.best_of for each in choices)

    def shares_samples(self, row: Row, other: Row) -> bool:
        """Whether two measurements are of sets with images in common.

        The stored images tell, and where the other file is gone, weights and seeds.

        Raises:
            IntegrityError: the images of *row* are missing or changed.
        """
        if row.samples == other.samples or self._same_seeds(row, other):
            return True
        own = self.image_set(row).different
        try:
            return not own.isdisjoint(self.image_set(other).different)
        except IntegrityError:
            return False

    def _same_seeds(self, row: Row, other: Row) -> bool:
        try:
            first, second = self._drawn(row), self._drawn(other)
        except (IntegrityError, SpecError):
            return False
        common = range(max(first[1].start, second[1].start), min(first[1].stop, second[1].stop))
        return first[0] == second[0] and bool(common)

    def _drawn(self, row: Row) -> tuple[bytes, range]:
        """What made the images of a measurement, and from which seeds."""
        stage = self.sampling(row)
        sample: Any = stage.spec.sample
        source, settings = _but_seeds(stage)
        if isinstance(sample, FromCheckpoint):
            source = [row.fact("sample", "weights")]
        return canonical([source, settings]), range(sample.seed, sample.seed + sample.num_samples)

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
        sampled = [each for each in self._known_upstream(row) if each.kind == "sample"][:1]
        files = [file for stage in sampled for file in self.files.get(stage.stage_id, ())]
        return next((file for file in reversed(files) if file.role == "sheet"), None)

    def logged(self, stage_id: str) -> Mapping[str, Sequence[tuple[int, float, str]]]:
        """What runs logged in a stage, by name: (step, value, execution), repeated steps once."""
        if stage_id not in self._logged:
            statement = (
                "SELECT name, step, arg_max(value, (execution_id, seq)), max(execution_id)"
                " FROM progress JOIN executions USING (execution_id)"
                " WHERE stage_id = ? AND purpose = 'run' AND isfinite(value)"
                " GROUP BY name, step ORDER BY name, step"
            )
            found: dict[str, list[tuple[int, float, str]]] = defaultdict(list)
            for name, *moment in query(self.root, statement, [stage_id]).rows:
                found[name].append((moment[0], moment[1], moment[2]))
            self._logged[stage_id] = found
        return self._logged[stage_id]

    def curves(
        self, stage_ids: Iterable[str]
    ) -> Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]:
        """The recorded numbers of each stage by name: (step, value), repeated steps once."""
        statement = (
            "SELECT stage_id, name, step, arg_max(value, (execution_id, seq)) FROM progress"
            " WHERE list_contains(?, stage_id) GROUP BY ALL ORDER BY stage_id, name, step"
        )
        curves: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for stage_id, name, step, value in query(self.root, statement, [list(stage_ids)]).rows:
            curves[stage_id][name].append((step, value))
        return curves

    def _weights(self, row: Row) -> dict[str, str]:
        found = {}
        upstream = self._known_upstream(row)
        begun = {  # trainings of which another took over a checkpoint
            stage.inputs[-1]: stage.spec.init.checkpoint
            for stage in upstream
            if stage.kind == "train" and stage.spec.init
        }
        for stage in upstream:
            last = begun.get(stage.stage_id, math.inf)
            saved = [each for each in self.checkpoints.get(stage.stage_id, ()) if each.step <= last]
            what: str = stage.kind
            if stage.kind == "train" and stage.stage_id in self.sampling(row).inputs:
                used = self.checkpoint(row)
            else:
                used = max(saved, key=lambda each: each.step, default=None)
                what = stage.name if stage.kind == "train" else what  # an encoder's training
            if used is not None:
                found[f"{what} weights after step {used.step}"] = used.weights
            if stage.kind == "export":
                lineage, files = self.lineage(row), self.files.get(stage.stage_id, ())
                own = [each for each in files if each.execution_id in lineage]
                found.update({f"exported {each.role}": each.sha256 for each in own})
        return found

    def _known_upstream(self, row: Row) -> tuple[Stage, ...]:
        """What a measurement rests on, as far as it can be read: to show it, not to judge it."""
        try:
            return self.upstream(row)
        except (IntegrityError, SpecError):
            return ()

    def _by_stage(self, class_: type[Staged]) -> Mapping[str, Sequence[Staged]]:
        return _Grouped(
            self._raw(class_, by="stage_id"), lambda rows: tuple(self._made(class_, rows))
        )

    def _raw(self, class_: type, *, by: str) -> Mapping[str, Sequence[Values]]:
        """The rows of a class as the ledger gives them, by one of their columns."""
        table = self._tables[class_]
        at = table.columns.index(by)
        found: dict[str, list[Values]] = defaultdict(list)
        for row in table.rows:
            if row[at] is not None:
                found[row[at]].append(row)
        return found

    def _as_it_ended(self, execution: Execution) -> Execution:
        """A killed execution left no seal to say so; its machine, or its silence, does."""
        if execution.outcome == "open":
            status = history.status(self.root, execution.execution_id)
            if status == "interrupted":
                return evolve(execution, outcome=status)
        return execution

    def _read(self, class_: type[Record]) -> Iterator[Record]:
        return self._made(class_, self._tables[class_].rows)

    def _made(self, class_: type[Record], rows: Iterable[Values]) -> Iterator[Record]:
        table = self._tables[class_]
        decoders = [orjson.loads if type_ == "JSON" else _same for type_ in table.types]
        for row in rows:
            yield class_(
                **{
                    name: value if value is None else decode(value)
                    for name, decode, value in zip(table.columns, decoders, row, strict=True)
                }
            )

    @cached_property
    def _tables(self) -> Mapping[type, Table]:
        """What the ledger holds of each class at one moment, oldest first."""
        statements = {
            f"SELECT {', '.join(each.name for each in fields(class_))} FROM {source}"
            f" ORDER BY {order}": ()
            for class_, (source, order) in SOURCES.items()
        }
        return dict(zip(SOURCES, query_all(self.root, statements), strict=True))


def _of_whole_database(finding: Finding) -> bool:
    """Whether it is about no execution alone, as a view that was changed."""
    return finding.record is None and not finding.file.startswith("segments/")


def _same(value: Any) -> Any:
    return value


def _primary(select: Stage) -> str:
    part: Any = select.spec
    return str(part.primary)


def _but_seeds(stage: Stage) -> tuple[Any, Mapping[str, Any]]:
    """What images are made from, and how, whatever their seeds and number."""
    settings = {
        name: value
        for name, value in stage.payload["sample"].items()
        if name not in ("seed", "num_samples")
    }
    return [*stage.inputs, stage.payload.get("checkpoint")], settings


def _tensors(path: Path, *names: str) -> "list[NDArray[Any]]":
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
        return [found[name] for name in names]
    except (KeyError, SafetensorError) as error:
        msg = f"{path}: expected tensors {', '.join(names)} ({error})"
        raise IntegrityError(msg) from error
