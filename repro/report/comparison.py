"""Whether one measurement differs from another: evaluation rules B1 to B5 on admitted rows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from repro.report import difference
from repro.report.archive import Archive
from repro.report.difference import Difference
from repro.report.gate import Refusal
from repro.report.rows import Row

NOT_EXTRAPOLATED = "B4: no value extrapolated to infinitely many images is recorded"

Answer = Literal["supported", "refuted", "indistinguishable"]


@frozen(kw_only=True)
class Step:
    """A difference and what it says of a claim; `note` says why, where it is not its size.

    `caveat` says what it does not say, whatever its size.
    """

    left: str
    right: str
    difference: Difference
    answer: Answer
    note: str = ""
    caveat: str = ""


def incomparable(rows: Sequence[Row], archive: Archive) -> Refusal | None:
    """Why these values may not be held against each other (rule B1)."""
    first, *others = rows
    for other in others:
        if other.protocol_id != first.protocol_id:
            what = _first_difference(first, other, archive)
            return Refusal(rule="B1", reason=f"not comparable: {what}")
        if other.num_samples != first.num_samples:
            what = f"{first.num_samples} images against {other.num_samples}"
            return Refusal(rule="B1", reason=f"not comparable: {what}")
    return None


def between_rows(left: Row, right: Row, *, sign: int, candidates: int, archive: Archive) -> Step:
    """Whether the difference of two values has the claimed sign (rules B2 to B4)."""
    apart = apart_of(left, right, candidates=candidates, archive=archive)
    unlike = archive.generator(left) != archive.generator(right)
    return _step([left], [right], apart, sign=sign, unlike=unlike)


def between_methods(
    left: Sequence[Row], right: Sequence[Row], *, sign: int, candidates: int
) -> Step:
    """Whether the difference of two methods has the claimed sign (rules B3 to B5)."""
    apart = difference.between_methods(
        [_value(row) for row in left], [_value(row) for row in right], candidates=candidates
    )
    return _step(left, right, apart, sign=sign, unlike=True)


def from_number(row: Row, number: float, *, sign: int) -> Step:
    """Whether a value lies on the claimed side of a number (rules B3 and B4)."""
    apart = difference.of(_value(row) - number, _error(row), se_kind=row.se_kind)
    answer = _answer(apart, sign=sign)
    note = "" if answer == "indistinguishable" else _bias_above(row, number, apart)
    return Step(
        left=row.evaluation,
        right=f"{number:g}",
        difference=apart,
        answer="indistinguishable" if note else answer,
        note=note,
    )


def _step(
    left: Sequence[Row], right: Sequence[Row], apart: Difference, *, sign: int, unlike: bool
) -> Step:
    answer = _answer(apart, sign=sign)
    note = _bias(left, right, apart) if unlike and answer != "indistinguishable" else ""
    return Step(
        left=left[0].evaluation,
        right=right[0].evaluation,
        difference=apart,
        answer="indistinguishable" if note else answer,
        note=note,
    )


def _answer(apart: Difference, *, sign: int) -> Answer:
    if not apart.shown:
        return "indistinguishable"
    return "supported" if apart.value * sign > 0 else "refuted"


def apart_of(left: Row, right: Row, *, candidates: int, archive: Archive) -> Difference:
    """The difference of two values and its error, paired where their images are (rule B2)."""
    from repro.metrics import influence

    value = _value(left) - _value(right)
    if left.pairing and left.pairing == right.pairing and left.influence and right.influence:
        psi = archive.influence(left), archive.influence(right)
        se = influence.paired_standard_error(*psi)
        return difference.of(value, se, se_kind="paired", candidates=candidates)
    se = influence.unpaired_standard_error(_error(left), _error(right))
    return difference.of(value, se, se_kind="unpaired", candidates=candidates)


def _bias(left: Sequence[Row], right: Sequence[Row], apart: Difference) -> str:
    """Why the bias of a finite sample may have made this order, or nothing (rule B4).

    Of the metrics here, only the Frechet distance is biased by the number of images.
    """
    if left[0].metric != "fid":
        return ""
    limits = [[row.fact("formula", "extrapolated") for row in side] for side in (left, right)]
    if not all(_is_number(limit) for side in limits for limit in side):
        return NOT_EXTRAPOLATED
    means = [sum(side) / len(side) for side in limits]
    if (means[0] - means[1]) * apart.value <= 0:
        return "B4: extrapolated to infinitely many images, the order is the other way round"
    return ""


def _bias_above(row: Row, number: float, apart: Difference) -> str:
    """Why the bias of a finite sample may have lifted a value above a number, or nothing (rule B4).

    The bias of a Frechet distance is upwards, so a value below the number needs no second look.
    """
    if row.metric != "fid" or apart.value < 0:
        return ""
    limit = row.fact("formula", "extrapolated")
    if not _is_number(limit):
        return NOT_EXTRAPOLATED
    if limit <= number:
        return "B4: extrapolated to infinitely many images, the value is not above the number"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _value(row: Row) -> float:
    return math.nan if row.value is None else row.value


def _error(row: Row) -> float:
    """The standard error; where none is known, nothing can be told apart."""
    return math.inf if row.se is None or not row.se >= 0 else row.se


def _first_difference(left: Row, right: Row, archive: Archive) -> str:
    facts = [dict(_flat(archive.protocols.get(row.protocol_id, {}))) for row in (left, right)]
    for name in sorted(facts[0].keys() | facts[1].keys()):
        values = [side.get(name) for side in facts]
        if values[0] != values[1]:
            return f"{name} is {values[0]!r} against {values[1]!r}"
    return f"protocol {left.protocol_id} against {right.protocol_id}"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
