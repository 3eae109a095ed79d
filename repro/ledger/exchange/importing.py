"""From what a source tells to records, each number once.

A number is known by its source, study, run, metric, number of samples, step and value. Importing a
file again adds what it holds more often than the ledger does: nothing, or what was logged since.
What a source says about a run is recorded when it is new or has changed, beside its digest, as
provenance of the execution that imported it, and so are the digests of the files. Nothing is
recorded of a file that cannot be read.
"""

import math
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from repro import digest
from repro.errors import LedgerError, ResourceError
from repro.ledger.database import query
from repro.ledger.exchange import event_files, json_numbers, mlflow_database, trackio_database
from repro.ledger.exchange.told import Curve, Notify, Reader, Run
from repro.ledger.fold import fold
from repro.ledger.lease import lease
from repro.ledger.privacy import REMOVED, cleaned, secret_name
from repro.ledger.records import Imported, Provenance, Record, Start
from repro.ledger.segment import begin

FORMATS: Mapping[str, Reader] = {
    "mlflow": mlflow_database.read,
    "trackio": trackio_database.read,
    "tensorboard": event_files.read,
    "json": json_numbers.read,
}
_IN_A_FOLDER = {"trackio": trackio_database.FILES, "tensorboard": event_files.FILES}
PROVIDER = "import"
_MAX_NUMBERS = 10_000
"""Of one record: a line stays short enough to be read."""

_Number = tuple[str, str, str, str, int | None, int | None, float | str]


@frozen(kw_only=True)
class Counts:
    """What an import came to; `execution_id` is none if there was nothing to add."""

    execution_id: str | None
    runs: int
    numbers: int
    added: int


def import_numbers(
    root: Path,
    format_: str,
    paths: Sequence[Path],
    *,
    study: str = "",
    source: str = "",
    metrics: Collection[str] = (),
    notify: Notify,
) -> Counts:
    """Record what the files tell and the ledger does not hold; of `metrics` only, if any are named.

    A study or source that a file names itself counts before the given ones; the source is the
    name of the format by default. A path that is given twice counts once.

    Raises:
        ResourceError: a file cannot be read, has none of a metric that is named, or nothing says
            which study it belongs to.
        LedgerError: the ledger cannot be read or written.
    """
    paths = list({path.resolve(): path for path in paths}.values())
    told = [run for path in paths for run in FORMATS[format_](path, notify)]
    _require_metrics(told, metrics)
    normal = [_normal(run, study=study, source=source or format_, metrics=metrics) for run in told]
    runs = [run for run in normal if run.curves]
    if not all(run.study for run in runs):
        raise ResourceError(f"{paths[0]}: names no study; name it with --study")
    inputs = _inputs(format_, paths)
    with lease(root, "import", on_wait=lambda holder: notify(f"waiting for {holder} to import")):
        origins = _origins(root, runs)
        added = list(_new(runs, _known_numbers(root, origins)))
        described = list(_newly_described(runs, _known_facts(root, origins)))
        execution_id = _record(root, runs, inputs, [*described, *added])
    return Counts(
        execution_id=execution_id,
        runs=len(runs),
        numbers=sum(len(curve.values) for run in runs for curve in run.curves),
        added=sum(len(each.values) for each in added),
    )


def _require_metrics(told: Sequence[Run], metrics: Collection[str]) -> None:
    known = {curve.metric for run in told for curve in run.curves}
    missing = sorted(set(metrics) - known)
    if missing:
        raise ResourceError(
            f"no metric is named {', '.join(missing)}; expected one of: {', '.join(sorted(known))}"
        )


def _inputs(format_: str, paths: Sequence[Path]) -> Provenance:
    """The digest of every file that was read."""
    found = [
        sorted(each.glob(_IN_A_FOLDER[format_])) if each.is_dir() else [each] for each in paths
    ]
    files = [file for some in found for file in some if file.is_file()]  # a pipe has no digest
    digests = {_text(str(file)): digest.sha256_file(file) for file in files}
    return Provenance(provider="inputs", status="ok", value=digests)


def _record(
    root: Path, runs: Sequence[Run], inputs: Provenance, found: Sequence[Record]
) -> str | None:
    """Add an execution with these records; its id, or none if there are none."""
    if not found:
        return None
    studies = {run.study for run in runs}
    start = Start(
        purpose="import",
        study=studies.pop() if len(studies) == 1 else "",
        title=f"numbers of {', '.join(sorted({run.source for run in runs}))}",
        command=tuple(sys.argv),
    )
    with begin(root, start) as segment:
        segment.append_all([inputs, *found])
    return segment.execution_id


def _normal(run: Run, *, study: str, source: str, metrics: Collection[str]) -> Run:
    """A run with all that identifies it, its texts as they will be recorded."""
    curves = tuple(
        evolve(curve, metric=_text(curve.metric), facts=_clean(curve.facts))
        for curve in run.curves
        if not metrics or curve.metric in metrics
    )
    return Run(
        name=_text(run.name),
        curves=curves,
        facts=_clean(run.facts),
        source=_text(run.source or source),
        study=_text(run.study or study),
    )


def _text(text: str) -> str:
    """Text that may leave the machine, and that a database and JSON can hold."""
    return cleaned(text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode())


def _clean(value: Any, name: str = "") -> Any:
    """Facts without secrets: neither in a text nor under a name that says that it holds one."""
    match value:
        case str():
            return REMOVED if secret_name(name) else _text(value)
        case Mapping():
            return {_text(str(key)): _clean(item, str(key)) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item, name) for item in value]
        case float() if math.isnan(value):
            return "nan"
        case _:
            return value


def _new(runs: Sequence[Run], known: Counter[_Number]) -> Iterator[Imported]:
    """The numbers that are told more often than they are known, a curve's in records of their own.

    What is told of *known* is counted down.
    """
    for run in runs:
        for curve in run.curves:
            fresh: list[tuple[int | None, float]] = []
            for step, value in zip(curve.steps, curve.values, strict=True):
                name = _name(run, curve, step, value)
                if known[name] > 0:
                    known[name] -= 1
                else:
                    fresh.append((step, value))
            for begin_ in range(0, len(fresh), _MAX_NUMBERS):
                yield _imported(run, curve, fresh[begin_ : begin_ + _MAX_NUMBERS])


def _name(run: Run, curve: Curve, step: int | None, value: float) -> _Number:
    comparable = "nan" if math.isnan(value) else value
    return run.source, run.study, run.name, curve.metric, curve.num_samples, step, comparable


def _imported(run: Run, curve: Curve, numbers: Sequence[tuple[int | None, float]]) -> Imported:
    return Imported(
        source=run.source,
        study=run.study,
        run=run.name,
        metric=curve.metric,
        steps=tuple(step for step, _ in numbers),
        values=tuple(value for _, value in numbers),
        num_samples=curve.num_samples,
        facts=curve.facts,
    )


def _known_numbers(root: Path, origins: Sequence[tuple[str, str]]) -> Counter[_Number]:
    statement = (
        'SELECT run, metric, num_samples, step, "value", count(*) FROM imported'
        " WHERE source = ? AND study = ? GROUP BY ALL"
    )
    known: Counter[_Number] = Counter()
    for source, study in origins:
        for run, metric, num_samples, step, value, count in query(
            root, statement, [source, study]
        ).rows:
            comparable = "nan" if math.isnan(value) else value
            known[source, study, run, metric, num_samples, step, comparable] += count
    return known


def _newly_described(
    runs: Sequence[Run], known: Mapping[tuple[str, str, str], str]
) -> Iterator[Provenance]:
    """What is said of a run that is not what was last recorded of it."""
    latest = dict(known)
    for run in runs:
        said = digest.xxh3_128(digest.canonical(run.facts))
        name = (run.source, run.study, run.name)
        if run.facts and latest.get(name) != said:
            latest[name] = said
            yield Provenance(
                provider=PROVIDER,
                status="ok",
                value={
                    "source": run.source,
                    "study": run.study,
                    "run": run.name,
                    "facts": run.facts,
                    "digest": said,
                },
            )


def _known_facts(root: Path, origins: Sequence[tuple[str, str]]) -> dict[tuple[str, str, str], str]:
    """The digest of what was last recorded of each run."""
    statement = (
        "SELECT \"value\"->>'run', \"value\"->>'digest' FROM provenance WHERE provider = ?"
        " AND \"value\"->>'source' = ? AND \"value\"->>'study' = ? ORDER BY execution_id, seq"
    )
    return {
        (source, study, run): said
        for source, study in origins
        for run, said in query(root, statement, [PROVIDER, source, study]).rows
    }


def _origins(root: Path, runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Each source and study, after a fold, so that the answers miss nothing; none without a ledger.

    Raises:
        LedgerError: others fold all the time.
    """
    if not (root / "segments").is_dir():
        return []
    if fold(root) is None:
        raise LedgerError(f"{root}: another process holds the fold lock; try again")
    return sorted({(run.source, run.study) for run in runs})
