"""A run that was done once more, held against what it gave before.

The verdict is the strongest that holds. `bitwise`: every artifact and every number is the same.
`within tolerance`: every number is, to the digits that its error lets anyone read. `claim holds`:
every claim that rests on the run keeps its verdict with the new numbers in the place of the old
ones. Otherwise the run `diverged`, at the first stage of its plan that left something else.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from attrs import asdict, frozen

from repro.digest import canonical
from repro.errors import ClaimError, IntegrityError
from repro.ledger import history
from repro.ledger.chain import ChainError
from repro.ledger.records import Artifact, Calibration, Checkpoint, Measurement, StageEvent, Start
from repro.report import claims, diff, sides, verdict
from repro.report.archive import Archive
from repro.report.diff import Compared
from repro.report.rows import Row
from repro.report.study import CLAIMS_FILE

SHARE_OF_SE = 0.1
"""Of its standard error: a value printed rounded to its error stays the same, or nearly."""
RELATIVE = 1e-4
"""Of a value: what the known answers of an evaluator may be off (evaluation's probe)."""

Grade = Literal["bitwise", "within tolerance", "claim holds", "diverged"]


@frozen(kw_only=True)
class Deviation:
    """A stage that left something else than before, and which parts of it."""

    stage: str
    parts: tuple[str, ...]


@frozen(kw_only=True)
class Number:
    """A measurement of both executions; `allowed` is how far apart they may be."""

    evaluation: str
    metric: str
    old: float | None
    new: float | None
    allowed: float
    said: str

    @property
    def within(self) -> bool:
        """Whether the two are the same number, to the digits that count."""
        if self.old is None or self.new is None:
            return self.old is self.new
        same = self.old == self.new or (math.isnan(self.old) and math.isnan(self.new))
        return same or abs(self.old - self.new) <= self.allowed


@frozen(kw_only=True)
class Rejudged:
    """A claim that rests on the run: its verdict before, and with the new numbers."""

    name: str
    old: str
    new: str


@frozen(kw_only=True)
class Comparison:
    """Everything that came out of a rerun; `changes` is what differed in code and environment."""

    run_id: str
    execution_id: str
    again_id: str
    merkle_root: str
    grade: Grade
    code: str
    deviations: tuple[Deviation, ...]
    numbers: tuple[Number, ...]
    claims: tuple[Rejudged, ...]
    changes: tuple[str, ...]
    problem: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """It as plain data, for the record."""
        return asdict(self)


def compare(
    root: Path, execution_id: str, again: Path, again_id: str, *, code: str, reports: Path
) -> Comparison:
    """Hold the execution *again_id* of the ledger *again* against one of the ledger *root*.

    Claims are those of the run's study in *reports*; they are asked only where numbers differ.

    Raises:
        IntegrityError: a segment is broken.
    """
    start, *_ = _records(root, execution_id)
    deviations = tuple(_deviations(_parts(root, execution_id), _parts(again, again_id)))
    with _both(root, again) as both:
        found = diff.diff(both, execution_id, again_id)
        numbers = tuple(_number(each) for each in found.measurements)
        same = bool(numbers) and all(each.within for each in numbers)
        rejudged: tuple[Rejudged, ...] = ()
        problem = ""
        if deviations and not same:
            rejudged, problem = _rejudged(root, both, again_id, reports / start.study)
    return Comparison(
        run_id=str(start.run_id),
        execution_id=execution_id,
        again_id=again_id,
        merkle_root=found.new.merkle_root or "",
        grade=_grade(deviations, rejudged, same=same),
        code=code,
        deviations=deviations,
        numbers=numbers,
        claims=rejudged,
        changes=tuple(
            str(each)
            for each in (*found.code, *found.environment)
            if not each.path.startswith("command.")  # of course it is another
        ),
        problem=problem,
    )


def lines(comparison: Comparison) -> Iterator[str]:
    """What a person reads: the verdict, then what differs, part by part."""
    at = f" at stage {comparison.deviations[0].stage}" if comparison.grade == "diverged" else ""
    yield f"{comparison.run_id}  {comparison.grade}{at}"
    yield f"execution {comparison.execution_id}, again {comparison.again_id}: {comparison.code}"
    for each in comparison.deviations:
        yield f"  {each.stage} left another {', '.join(each.parts)}"
    for number in comparison.numbers:
        inside = "within" if number.within else "beyond"
        yield f"  {number.said} ({inside} {number.allowed:.2g})"
    for claim in comparison.claims:
        yield f"  claim {claim.name}: {claim.old} -> {claim.new}"
    if comparison.problem:
        yield f"  claims: {comparison.problem}"
    different = comparison.changes or ("no difference of code or environment is known",)
    yield from (f"  {each}" for each in different)


def _grade(deviations: Sequence[Deviation], rejudged: Sequence[Rejudged], *, same: bool) -> Grade:
    if not deviations:
        return "bitwise"
    if same:
        return "within tolerance"
    if rejudged and all(each.old == each.new for each in rejudged):
        return "claim holds"
    return "diverged"


def _deviations(
    old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]
) -> Iterator[Deviation]:
    for stage, before in old.items():
        after = new.get(stage, {})
        parts = [each for each in {**before, **after} if before.get(each) != after.get(each)]
        if parts:
            yield Deviation(stage=stage, parts=tuple(parts))


def _parts(root: Path, execution_id: str) -> dict[str, dict[str, str]]:
    """What each planned stage left, by its kind and name, also where another execution did it."""
    own = _records(root, execution_id)
    events = [each for each in own if isinstance(each, StageEvent) and each.event == "reused"]
    done_by = {each.stage_id: str(each.facts.get("execution_id")) for each in events}
    known = {each: _records(root, each) for each in {execution_id, *done_by.values()}}
    return {
        f"{stage['kind']} {stage['name']}": {
            part: value
            for record in known[done_by.get(stage["stage_id"], execution_id)]
            if getattr(record, "stage_id", None) == stage["stage_id"]
            for part, value in _parts_in(record)
        }
        for stage in own[0].stages
    }


def _parts_in(record: Any) -> Iterator[tuple[str, str]]:
    """What a record says that a stage left: a name for it, and a text that is equal if it is."""
    match record:
        case Artifact():
            yield f"{record.role} {record.name}", record.sha256
        case Checkpoint():
            yield f"weights of step {record.step}", record.weights
            yield f"state of step {record.step}", str(record.state)
        case Measurement():
            yield record.metric, repr(record.value)
        case Calibration():
            yield "calibration", canonical(record.facts).decode()
        case StageEvent(event="done", facts=facts):
            lasting = {key: facts[key] for key in facts if not key.startswith("resumed_")}
            yield "facts", canonical(lasting).decode()
        case _:
            pass


def _number(compared: Compared) -> Number:
    old, new = compared.old, compared.new
    value = old.value if old and old.value is not None else 0.0
    se = old.se if old and old.se is not None else 0.0
    return Number(
        evaluation=compared.evaluation,
        metric=compared.metric,
        old=old.value if old else None,
        new=new.value if new else None,
        allowed=max(RELATIVE * abs(value), SHARE_OF_SE * se),
        said=diff.said(compared),
    )


def _rejudged(
    root: Path, both: Path, again_id: str, folder: Path
) -> tuple[tuple[Rejudged, ...], str]:
    """The claims that rest on the run, or why they could not be asked."""
    path = folder / CLAIMS_FILE
    if not path.is_file():
        return (), f"{path}: no such file, so no claim can hold"
    try:
        said = claims.read(path)
    except ClaimError as error:
        return (), str(error)
    study = sides.read_specs(said.specs, folder)
    before, after = Archive(root), _InPlace(both, again_id)
    found = []
    for claim in said.claims:
        old = verdict.judge(claim, study, before)
        if any(each.row.stage_id in after.repeated for each in old.admitted):
            new = verdict.judge(claim, study, after)
            found.append(Rejudged(name=claim.name, old=old.verdict, new=new.verdict))
    return tuple(found), "" if found else "no claim rests on this run"


class _InPlace(Archive):
    """A ledger where the measurements of one execution stand in for all of the same stages."""

    def __init__(self, root: Path, execution_id: str) -> None:
        super().__init__(root)
        self._execution_id = execution_id

    @cached_property
    def repeated(self) -> frozenset[str]:
        """The stages that the execution measured."""
        return frozenset(
            stage_id
            for stage_id, rows in self.rows.items()
            if any(each.execution_id == self._execution_id for each in rows)
        )

    @cached_property
    def rows(self) -> Mapping[str, Sequence[Row]]:
        """Every measurement by its stage; of a repeated stage, only the repeat's."""
        return {
            stage_id: [each for each in rows if each.execution_id == self._execution_id] or rows
            for stage_id, rows in super().rows.items()
        }


@contextmanager
def _both(root: Path, again: Path) -> Iterator[Path]:
    """Two ledgers as one, for as long as the context is open: links to the files of both."""
    with tempfile.TemporaryDirectory(dir=again.parent, prefix=".both-") as folder:
        both = Path(folder)
        for ledger in (root, again):
            for pattern in ("segments/*.jsonl", "objects/[0-9a-f][0-9a-f]/*"):
                for path in ledger.glob(pattern):
                    link = both / path.relative_to(ledger)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    if not link.is_symlink():
                        link.symlink_to(path.absolute())
        yield both


def _records(root: Path, execution_id: str) -> list[Any]:
    """What an execution said, its start first.

    Raises:
        IntegrityError: its segment is broken.
    """
    path = history.segment_path(root, execution_id)
    try:
        found = [history.decoded(line) for line in history.read_lines(path)]
    except ChainError as error:
        raise IntegrityError(f"{path}: {error}; nothing can be compared with it") from error
    if not found or not isinstance(found[0], Start):
        raise IntegrityError(f"{path}: holds no execution")
    return found
