"""Every measurement of a study in its table: evidence by protocol, screening, refused."""

import itertools
import statistics
from collections.abc import Iterable, Sequence

from attrs import evolve, frozen

from repro.ledger.database import query
from repro.metrics.standard import MIN_SAMPLES
from repro.report import gate
from repro.report.archive import Archive
from repro.report.gate import Refusal, Terms
from repro.report.rows import Row
from repro.report.sides import Study
from repro.spec import run_id, stages

EVALUATIONS = """
SELECT count(DISTINCT stage_id) FROM stage_events
WHERE stage_kind = 'evaluate' AND list_contains(?, execution_id)
"""
PAPER_SAMPLES = 50_000
PAPER_GRADE = "paper-comparable"
INTERNAL_SAMPLES = 10_000
MIN_SAMPLING_SEEDS = 3


@frozen(kw_only=True)
class Entry:
    """A measurement and what the gate says of it. `se` is over sampling seeds where three exist."""

    row: Row
    refusals: tuple[Refusal, ...]
    se: float | None
    se_kind: str
    grade: str

    @property
    def extrapolated(self) -> float | None:
        """The value for infinitely many images, where it is known."""
        found = self.row.fact("formula", "extrapolated")
        return found if isinstance(found, float) else None


@frozen(kw_only=True)
class Table:
    """Admitted values of one protocol, smallest first: only these may be compared."""

    metric: str
    unit: str
    num_samples: int
    protocol_id: str
    entries: tuple[Entry, ...]


@frozen(kw_only=True)
class Denominator:
    """How much was tried, so that a winner is seen beside those that were not."""

    runs: int
    runs_done: int
    executions: int
    executions_done: int
    executions_failed: int
    executions_interrupted: int
    executions_open: int
    evaluations: int
    rehearsals: int


def entry(row: Row, refusals: tuple[Refusal, ...], archive: Archive) -> Entry:
    """A measurement as it stands by itself."""
    return Entry(
        row=row,
        refusals=refusals,
        se=row.se,
        se_kind=row.se_kind,
        grade=grade(row, archive),
    )


def entries(study: Study, archive: Archive) -> tuple[Entry, ...]:
    """Every measurement of every evaluation of the study's specs; of repeats, the first."""
    found: dict[tuple[str, str], Entry] = {}
    stage_ids = _evaluations(study)
    archive.expect(stage_ids)
    for stage_id in stage_ids:
        for row in archive.rows.get(stage_id, ()):
            refusals = gate.refusals(row, archive, Terms())
            key = (stage_id, row.metric)
            if key not in found or (found[key].refusals and not refusals):
                found[key] = entry(row, refusals, archive)
    return tuple(_over_seeds(found.values(), archive))


def tables(found: Sequence[Entry]) -> tuple[Table, ...]:
    """Admitted entries by protocol: FID first, then the other metrics by name."""
    by_protocol: dict[str, list[Entry]] = {}
    for entry in found:
        if not entry.refusals:
            by_protocol.setdefault(entry.row.protocol_id, []).append(entry)
    made = [
        Table(
            metric=each[0].row.metric,
            unit=each[0].row.unit,
            num_samples=each[0].row.num_samples,
            protocol_id=protocol_id,
            entries=tuple(sorted(each, key=lambda entry: entry.row.value or 0.0)),
        )
        for protocol_id, each in by_protocol.items()
    ]
    return tuple(
        sorted(made, key=lambda each: (each.metric != "fid", each.metric, -each.num_samples))
    )


def screening(found: Sequence[Entry]) -> tuple[Entry, ...]:
    """Values of too few images: to look at, never evidence (evaluation rule A2)."""
    return tuple(each for each in found if each.row.num_samples < MIN_SAMPLES)


def refused(found: Sequence[Entry]) -> tuple[Entry, ...]:
    """Values of enough images that a rule refuses all the same."""
    large = (each for each in found if each.row.num_samples >= MIN_SAMPLES)
    return tuple(each for each in large if each.refusals)


def denominator(study: Study, archive: Archive) -> Denominator:
    """Count everything that was started in the folders that the study's specs lie in."""
    own = [each for each in archive.executions.values() if each.study in study.folders]
    started = [each for each in own if each.purpose == "run"]
    outcomes = [each.outcome for each in started]
    ids = [each.execution_id for each in started]
    ((num_evaluations,),) = query(archive.root, EVALUATIONS, [ids]).rows
    return Denominator(
        runs=len({each.run_id for each in started}),
        runs_done=len({each.run_id for each in started if each.outcome == "done"}),
        executions=len(started),
        executions_done=outcomes.count("done"),
        executions_failed=outcomes.count("failed"),
        executions_interrupted=outcomes.count("interrupted"),
        executions_open=outcomes.count("open"),
        evaluations=num_evaluations,
        rehearsals=sum(each.purpose == "rehearsal" for each in own),
    )


def trainings(study: Study) -> dict[str, str]:
    """The training of each run, by stage id, with a name for people."""
    return {
        stage.stage_id: spec.title or name
        for name, runs in study.own.items()
        for spec in runs
        for stage in stages(spec)
        if stage.kind == "train"
    }


def grade(row: Row, archive: Archive) -> str:
    """What a value may stand beside (evaluation rule A3)."""
    if row.num_samples < MIN_SAMPLES:
        return "screening"
    if row.num_samples < INTERNAL_SAMPLES:
        return "internal, small n"
    whole = row.num_samples >= PAPER_SAMPLES and archive.whole_reference(row)
    return PAPER_GRADE if whole else "internal"


def _evaluations(study: Study) -> list[str]:
    """The stage ids of every evaluation, in the order of the specs."""
    specs = {run_id(spec): spec for runs in study.own.values() for spec in runs}
    found = (stage for spec in specs.values() for stage in stages(spec))
    return list(dict.fromkeys(stage.stage_id for stage in found if stage.kind == "evaluate"))


def _over_seeds(found: Iterable[Entry], archive: Archive) -> Iterable[Entry]:
    """Errors from three or more sampling seeds replace those from one set (evaluation rule A4).

    Sets with images in common would agree better than fresh ones do, so they keep their own errors.
    """
    alike: dict[object, list[Entry]] = {}
    for entry in found:
        alike.setdefault(_but_the_seed(entry, archive), []).append(entry)
    for group in alike.values():
        if len(group) < MIN_SAMPLING_SEEDS or not _disjoint(group, archive):
            yield from group
            continue
        spread = statistics.stdev(entry.row.value or 0.0 for entry in group)
        kind = f"over {len(group)} sampling seeds"
        yield from (evolve(entry, se=spread, se_kind=kind) for entry in group)


def _disjoint(group: Sequence[Entry], archive: Archive) -> bool:
    """Whether no two of the sets have an image in common."""
    pairs = itertools.combinations(group, 2)
    return not any(archive.shares_samples(first.row, second.row) for first, second in pairs)


def _but_the_seed(entry: Entry, archive: Archive) -> object:
    """What admitted values must share to be repeats with fresh seeds; others share nothing."""
    row = entry.row
    if entry.refusals:
        return row.execution_id, row.seq
    return row.protocol_id, archive.generation(row)
