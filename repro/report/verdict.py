"""What the evidence says about a claim: admission by the gate, then comparison (rules B1 to B6)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from attrs import evolve, frozen

from repro.errors import ClaimError
from repro.report import comparison, gate, sides, tables
from repro.report.archive import Archive
from repro.report.claims import Claim, Comparison, Extreme, Threshold, Verdict
from repro.report.claims import sides as sides_of
from repro.report.comparison import Step
from repro.report.difference import MIN_TRAINING_SEEDS
from repro.report.gate import Refusal, Terms
from repro.report.rounding import in_errors, with_sign
from repro.report.rows import Row
from repro.report.sides import Side, Study
from repro.spec import Stage, canonical_spec

SIGNS = {"less": -1, "smallest": -1, "below": -1, "greater": 1, "largest": 1, "above": 1}


@frozen(kw_only=True)
class Admitted:
    """A measurement that stands as evidence for a side."""

    side: str
    row: Row


@frozen(kw_only=True)
class Refused:
    """A measurement that may not be evidence, or the lack of one, with the rules that say so."""

    side: str
    row: Row | None
    refusals: tuple[Refusal, ...]


@frozen(kw_only=True)
class Judgement:
    """A claim, its verdict and why, and all evidence that was admitted or refused.

    `checked` is false where nothing could be asked: the spec cannot be read, or was never run to
    this measurement.
    """

    claim: Claim
    verdict: Verdict
    why: str
    checked: bool = True
    admitted: tuple[Admitted, ...] = ()
    refused: tuple[Refused, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def as_expected(self) -> bool:
        """Whether it could be checked and came out as the claim expects."""
        return self.checked and self.verdict == self.claim.expect


@frozen(kw_only=True)
class Evidence:
    """What the ledger holds for a side. `outdated` says why it is of yesterday, if it is."""

    side: Side
    admitted: tuple[Row, ...]
    refused: tuple[Refused, ...]
    outdated: str
    started: bool

    @property
    def complete(self) -> bool:
        """Whether every run of the side has its admitted measurement."""
        return len(self.admitted) == len(self.side.stages)

    @property
    def unmeasured(self) -> bool:
        """Whether a run of the side never came to its measurement: nothing was refused."""
        return any(each.row is None for each in self.refused)


def judge(claim: Claim, study: Study, archive: Archive) -> Judgement:
    """Hold a claim against the ledger."""
    try:
        named = _named(claim, study)
        candidates = len(sides.comparable(sides_of(claim), study))
    except ClaimError as error:
        return Judgement(claim=claim, verdict="unproven", why=str(error), checked=False)
    found = {side.name: _gather(side, claim, archive) for side in named}
    unjudged = Judgement(
        claim=claim,
        verdict="unproven",
        why="",
        admitted=tuple(
            Admitted(side=name, row=row) for name, each in found.items() for row in each.admitted
        ),
        refused=tuple(refused for each in found.values() for refused in each.refused),
    )
    incomplete = [each for each in found.values() if not each.complete]
    if incomplete:
        return _without_evidence(unjudged, incomplete)
    return _with_evidence(unjudged, found, archive, candidates=candidates)


def _named(claim: Claim, study: Study) -> list[Side]:
    """The sides that a claim compares.

    Raises:
        ClaimError: one cannot be found, or names several runs where the claim needs one.
    """
    names = sides_of(claim)
    if isinstance(claim, Extreme):
        names = tuple(dict.fromkeys((*names, *sides.table_of(claim.side, study))))
        if len(names) == 1:
            msg = f"{claim.side}: nothing else in its spec is measured in the same way"
            raise ClaimError(msg)
    compared = names[:2] if isinstance(claim, Comparison) else names
    found = [sides.find(name, study) for name in compared]
    for side in found:
        if len(side.stages) > 1 and getattr(claim, "scope", "samples") == "samples":
            msg = f"{side.name}: names {len(side.stages)} runs; name one by `overrides`"
            raise ClaimError(msg)
    return found


def _gather(side: Side, claim: Claim, archive: Archive) -> Evidence:
    terms = Terms(min_samples=claim.min_samples, deviations=claim.deviations)
    admitted: list[Row] = []
    refused: list[Refused] = []
    outdated = ""
    for stage in side.stages:
        rows = [row for row in archive.rows.get(stage.stage_id, ()) if row.metric == claim.metric]
        judged = [(row, gate.refusals(row, archive, terms)) for row in rows]
        # The first that is admitted: a repeat cannot be picked for its value.
        admitted += [row for row, refusals in judged if not refusals][:1]
        refused += [
            Refused(side=side.name, row=row, refusals=refusals)
            for row, refusals in judged
            if refusals
        ]
        outdated = outdated or _gone(rows, archive)
        if not rows:
            earlier = _earlier(side, stage, claim, archive)
            refused += earlier or [_unmeasured(side, claim)]
            outdated = outdated or (earlier[0].refusals[0].reason if earlier else "")
    known = {execution.run_id for execution in archive.executions.values()}
    return Evidence(
        side=side,
        admitted=tuple(admitted),
        refused=tuple(refused),
        outdated=outdated,
        started=bool(refused and refused[0].row) or not known.isdisjoint(side.run_ids),
    )


def _gone(rows: Sequence[Row], archive: Archive) -> str:
    missing = (archive.missing(row) for row in rows)
    return next((what for what in missing if what), "")


def _earlier(side: Side, stage: Stage, claim: Claim, archive: Archive) -> list[Refused]:
    """The same evaluation of the same file, measured when the file said something else."""
    found = []
    for row in (row for rows in archive.rows.values() for row in rows):
        execution = archive.executions[row.execution_id]
        same = (row.evaluation, row.metric) == (stage.name, claim.metric)
        if same and execution.purpose == "run" and _same_file(execution.spec_path, side):
            reason = f"measured by run {execution.run_id}; the spec has changed since"
            refusal = Refusal(rule="current", reason=reason)
            found.append(Refused(side=side.name, row=row, refusals=(refusal,)))
    return found


def _same_file(recorded: str, side: Side) -> bool:
    """Whether a recorded path ends in the same study and file name."""
    return PurePath(recorded).parts[-2:] == side.path.parts[-2:]


def _unmeasured(side: Side, claim: Claim) -> Refused:
    reason = f"{claim.metric} was never measured"
    return Refused(side=side.name, row=None, refusals=(Refusal(rule="measured", reason=reason),))


def _without_evidence(judgement: Judgement, incomplete: Sequence[Evidence]) -> Judgement:
    missing = incomplete[0]
    if not missing.started:
        why = f"{missing.side.name}: never run; `python -m repro run {missing.side.path}`"
        return evolve(judgement, why=why, checked=False)
    if outdated := next((each for each in incomplete if each.outdated), None):
        why = f"{outdated.side.name}: {outdated.outdated}"
        return evolve(judgement, verdict="stale", why=why)
    if unmeasured := next((each for each in incomplete if each.unmeasured), None):
        why = f"{unmeasured.side.name}: never measured; run its spec to the end"
        return evolve(judgement, why=why, checked=False)
    rules = {refusal.rule: None for each in missing.refused for refusal in each.refusals}
    return evolve(judgement, why=f"{missing.side.name}: refused by {', '.join(rules)}")


def _with_evidence(
    judgement: Judgement, found: Mapping[str, Evidence], archive: Archive, *, candidates: int
) -> Judgement:
    rows = [row for each in found.values() for row in each.admitted]
    refusal = comparison.incomparable(rows, archive) or _too_few_seeds(judgement.claim, found)
    if refusal:
        return evolve(judgement, why=f"{refusal.rule}: {refusal.reason}")
    steps = tuple(_steps(judgement.claim, found, archive, candidates=candidates))
    answers = [step.answer for step in steps]
    for verdict in ("refuted", "indistinguishable"):
        if verdict in answers:
            decisive = steps[answers.index(verdict)]
            return evolve(judgement, verdict=verdict, why=_said(decisive), steps=steps)
    closest = min(steps, key=lambda step: step.difference.z)
    return evolve(judgement, verdict="supported", why=_said(closest), steps=steps)


def _steps(
    claim: Claim, found: Mapping[str, Evidence], archive: Archive, *, candidates: int
) -> Iterator[Step]:
    """The differences that decide a claim; *candidates* is how many could have been named."""
    sign = SIGNS[claim.relation]
    first = {name: each.admitted[0] for name, each in found.items()}
    match claim:
        case Comparison(scope="method"):
            left, right = found[claim.left].admitted, found[claim.right].admitted
            step = comparison.between_methods(left, right, sign=sign, candidates=candidates)
            yield _named_after(step, claim.left, claim.right)
        case Comparison():
            step = comparison.between_rows(
                first[claim.left],
                first[claim.right],
                sign=sign,
                candidates=candidates,
                archive=archive,
            )
            yield _named_after(step, claim.left, claim.right)
        case Extreme():
            own = first.pop(claim.side)
            for name, row in first.items():
                step = comparison.between_rows(
                    own, row, sign=sign, candidates=candidates, archive=archive
                )
                yield _named_after(step, claim.side, name)
        case Threshold():
            row = first[claim.side]
            step = comparison.from_number(row, claim.value, sign=sign)
            yield evolve(step, caveat=_caveat(tables.grade(row, archive)))


def _caveat(grade: str) -> str:
    """What a value of this grade may not stand beside (rule A3)."""
    if grade == tables.PAPER_GRADE:
        return ""
    return f"the value is {grade}: the number may not be one of a paper"


def _named_after(step: Step, left: str, right: str) -> Step:
    """The step with the names of its sides; of one spec, the evaluation is enough."""
    if left.partition(":")[0] == right.partition(":")[0]:
        left, right = (name.partition(":")[2] for name in (left, right))
    return evolve(step, left=left, right=right)


def _too_few_seeds(claim: Claim, found: Mapping[str, Evidence]) -> Refusal | None:
    """A sentence about a method needs several trainings that differ in nothing else (rule B5)."""
    if not isinstance(claim, Comparison) or claim.scope != "method":
        return None
    for name, each in found.items():
        trained = [spec for spec in each.side.runs if spec.train is not None]
        seeds = {spec.train.seed for spec in trained if spec.train}
        alike = {
            canonical_spec(evolve(spec, train=evolve(spec.train, seed=0)))
            for spec in trained
            if spec.train
        }
        if len(seeds) < MIN_TRAINING_SEEDS or len(alike) > 1:
            reason = (
                f"{name} has {len(seeds)} training seeds"
                f"{' of different specs' if len(alike) > 1 else ''};"
                f" a sentence about a method needs {MIN_TRAINING_SEEDS} that differ in nothing else"
            )
            return Refusal(rule="B5", reason=reason)
    return None


def _said(step: Step) -> str:
    return "; ".join(filter(None, (_decided(step), step.caveat)))


def _decided(step: Step) -> str:
    apart = step.difference
    size = with_sign(apart.value, apart.se)
    text = f"{step.left} − {step.right} = {size} ({apart.se_kind}), "
    if not 0 < apart.se < math.inf:
        return f"{text}{'exactly' if apart.se == 0 else 'of unknown error'}"
    text += f"{in_errors(apart.z)} standard errors"
    if step.note:
        return f"{text}; {step.note}"
    return text if apart.shown else f"{text}, {apart.needed / apart.se:.3g} are needed"
