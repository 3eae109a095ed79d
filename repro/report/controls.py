"""What the controls of a claim show: differences of numbers on record, never evidence.

Errors are those of the images where they are known, of the runs where there are several. A number
whose error nobody knows is taken as it stands, and the sentence says so.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import frozen

from repro.errors import ClaimError
from repro.report import comparison, correlated, difference, numbers
from repro.report.archive import Archive
from repro.report.beside import CORRELATED, Control
from repro.report.difference import Difference
from repro.report.numbers import Number
from repro.report.rounding import in_errors, with_error, with_sign
from repro.report.rows import Row
from repro.report.sides import Study
from repro.spec import Spec
from repro.spec.problems import choice

Result = Literal["shows", "does not show", "shows the opposite", "not run"]
SIGNS = {"below": -1, "less": -1, "above": 1, "greater": 1}
NO_ERROR = "no error is known"


@frozen(kw_only=True)
class Sample:
    """What one side of a control comes to: a number of each of its runs."""

    side: str
    numbers: tuple[Number, ...]

    @property
    def value(self) -> float:
        return statistics.fmean(each.value for each in self.numbers)

    @property
    def se(self) -> float | None:
        """The standard error over runs, or of the only run."""
        if len(self.numbers) == 1:
            return self.numbers[0].se
        spread = statistics.stdev(each.value for each in self.numbers)
        return spread / math.sqrt(len(self.numbers))

    @property
    def text(self) -> str:
        runs = f", mean of {len(self.numbers)} runs" if len(self.numbers) > 1 else ""
        return f"{with_error(self.value, self.se)}{runs}"


@frozen(kw_only=True)
class Shown:
    """A control, what it shows and why, and the numbers of its sides."""

    control: Control
    result: Result
    why: str
    samples: tuple[Sample, ...] = ()


def check(control: Control, study: Study, archive: Archive) -> Shown:
    """Hold a control against everything on record."""
    if control.relation in CORRELATED:
        return _correlated(control, study, archive)
    named = [each for each in (control.side, control.than) if each]
    try:
        samples = tuple(_sample(name, control.metric, study, archive) for name in named)
    except ClaimError as error:
        return Shown(control=control, result="not run", why=str(error))
    if problem := _incomparable(control, samples, archive):
        return Shown(control=control, result="does not show", why=problem, samples=samples)
    apart = _apart(control, samples, archive)
    why = f"{_named(control)} = {_said(control, apart)}"
    if control.relation == "near":
        margin = f", {apart.critical:.3g} standard errors included" if apart.se else ""
        why += f"; {control.tolerance or 0.0:g} is allowed{margin}"
    return Shown(control=control, result=_result(control, apart), why=why, samples=samples)


def _result(control: Control, apart: Difference) -> Result:
    """What a difference says; that of two sides may stand out of its error the other way.

    Two numbers are near each other if even the far end of their difference's error is allowed.
    """
    if control.relation == "near":
        farthest = abs(apart.value) + apart.critical * apart.se
        return "shows" if farthest <= (control.tolerance or 0.0) else "does not show"
    if apart.shown and apart.value * SIGNS[control.relation] > 0:
        return "shows"
    return "shows the opposite" if apart.shown and apart.se and control.than else "does not show"


def _correlated(control: Control, study: Study, archive: Archive) -> Shown:
    try:
        found = correlated.check(control, study, archive)
    except ClaimError as error:
        return Shown(control=control, result="not run", why=str(error))
    return Shown(control=control, result="shows" if found.shows else "does not show", why=found.why)


def _sample(name: str, metric: str, study: Study, archive: Archive) -> Sample:
    """The number of each run of a side.

    Raises:
        ClaimError: the spec cannot be read, has no such stage, or was not run to the number.
    """
    spec_name, _, pattern = name.partition(":")
    if spec_name in study.problems:
        raise ClaimError(study.problems[spec_name])
    found = [
        _of_run(spec, pattern, name, metric=metric, archive=archive)
        for spec in study.runs[spec_name]
    ]
    missing = sum(each is None for each in found)
    if missing:
        of_many = f" in {missing} of {len(found)} runs" if len(found) > 1 else ""
        command = study.commands[spec_name]
        raise ClaimError(f"{name}: {metric} was never recorded{of_many}; `{command}`")
    return Sample(side=name, numbers=tuple(each for each in found if each))


def _of_run(spec: Spec, pattern: str, name: str, *, metric: str, archive: Archive) -> Number | None:
    places = numbers.places(spec, pattern)
    if not places:
        raise ClaimError(f"{name}: the spec has nothing of this name, {_known(pattern, spec)}")
    return next(iter(numbers.numbers(places[0], metric, archive)[-1:]), None)


def _known(pattern: str, spec: Spec) -> str:
    return choice(pattern, numbers.names(spec))


def _incomparable(control: Control, samples: Sequence[Sample], archive: Archive) -> str:
    rows = [each.row for sample in samples for each in sample.numbers if each.row]
    if control.across_protocols or len(samples) == 1 or not rows:
        return ""
    kinds = {_probe(row, archive) for row in rows}
    if None not in kinds:  # its settings are in its protocol, and are what is compared
        return "" if len(kinds) == 1 else f"probes of unlike kinds: {', '.join(map(str, kinds))}"
    refusal = comparison.incomparable(rows, archive)
    return f"{refusal.rule}: {refusal.reason}" if refusal else ""


def _probe(row: Row, archive: Archive) -> str | None:
    """The kind of the probe that measured a number; of an evaluation, none."""
    probe = archive.protocols.get(row.protocol_id, {}).get("probe")
    return str(probe["kind"]) if isinstance(probe, Mapping) and "kind" in probe else None


def _apart(control: Control, samples: Sequence[Sample], archive: Archive) -> Difference:
    if control.value is not None:
        (only,) = samples
        return _of(only.value - control.value, [only.se], len(only.numbers))
    left, right = samples
    sizes = len(left.numbers), len(right.numbers)
    rows = left.numbers[0].row, right.numbers[0].row
    if min(sizes) > 1:
        values = ([each.value for each in side.numbers] for side in samples)
        return difference.between_methods(*values)
    if max(sizes) == 1 and rows[0] and rows[1] and left.se is not None and right.se is not None:
        return comparison.apart_of(rows[0], rows[1], candidates=2, archive=archive)
    return _of(left.value - right.value, [left.se, right.se], max(sizes))


def _of(value: float, errors: Sequence[float | None], num_runs: int) -> Difference:
    if any(each is None for each in errors):
        return difference.of(value, 0.0, se_kind=NO_ERROR)
    se = math.hypot(*(each or 0.0 for each in errors))
    return difference.of(value, se, se_kind="over runs" if num_runs > 1 else "unpaired")


def _named(control: Control) -> str:
    return f"{control.side} − {control.than or format(control.value, 'g')}"


def _said(control: Control, apart: Difference) -> str:
    text = f"{with_sign(apart.value, apart.se)} ({apart.se_kind})"
    if not apart.se:
        return text
    text += f", {in_errors(apart.z)} standard errors"
    if apart.shown or control.relation == "near":
        return text
    return f"{text}, {apart.needed / apart.se:.3g} are needed"
