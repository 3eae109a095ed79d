"""Which checkpoint, and which setting of the sampler, the numbers recommend: by rule.

All candidates are held against the best of them; the margin is widened for their number (B3).
What cannot be told from the best is as good, and of that the first is recommended.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from repro.report import comparison, gate, numbers
from repro.report.archive import Archive
from repro.report.asked import Recommendation
from repro.report.gate import Terms
from repro.report.imported import published
from repro.report.numbers import Number
from repro.report.rounding import in_errors, with_error, with_sign
from repro.report.rows import Row
from repro.report.sides import Study

LARGER_IS_BETTER = frozenset({"isc", "precision", "recall"})
Facts = dict[str, Any]


def facts(asked: Recommendation, name: str, study: Study, archive: Archive) -> Facts:
    """The choice with its candidates, and what others published beside it."""
    metrics = [each for each in (asked.primary, asked.secondary) if each]
    return {
        "title": asked.title,
        "primary": asked.primary,
        "secondary": asked.secondary,
        "checkpoints": _choice(asked.checkpoints, asked.primary, study, archive),
        "settings": _choice(asked.settings, asked.primary, study, archive),
        "alternates": _choice(asked.settings, asked.secondary, study, archive),
        "confirmed": _fresh(asked.confirmed, metrics, study, archive),
        "alternate": _fresh(asked.alternate, metrics, study, archive),
        "published": published(archive.root, name, asked.published),
    }


def _choice(sides: Sequence[str], metric: str, study: Study, archive: Archive) -> Facts:
    found = _candidates(sides, metric, study, archive) if metric else []
    known = _comparable({name: each for name, each in found if each is not None}, archive)
    best = _best(known, metric)
    candidates = [
        _candidate(name, number, known.get(best or ""), archive, num_candidates=len(known))
        for name, number in found
    ]
    equal = [each["name"] for each in candidates if each["is"] in ("best", "indistinguishable")]
    alike = len(known) > 1 and len({each.value for each in known.values()}) == 1
    if alike:  # as a recall of zero: nothing to choose by
        equal = []
    return {
        "metric": metric,
        "candidates": candidates,
        "best": best,
        "alike": alike,
        "recommended": equal[0] if equal else None,
        "indistinguishable": [each for each in equal if each != best],
        "num_missing": sum(number is None for _, number in found),
    }


def _candidates(
    sides: Sequence[str], metric: str, study: Study, archive: Archive
) -> list[tuple[str, Number | None]]:
    """The number of each evaluation that the sides name, or none where it was not measured."""
    found: dict[str, Number | None] = {}
    for side in sides:
        spec_name, _, pattern = side.partition(":")
        for spec in study.runs.get(spec_name, ()):
            for place in numbers.places(spec, pattern):
                told = numbers.numbers(place, metric, archive)
                found.setdefault(f"{spec_name}:{place.stage.name}", told[0] if told else None)
    return list(found.items())


def _comparable(known: Mapping[str, Number], archive: Archive) -> dict[str, Number]:
    """Those that are measured as the first is."""
    rows = [each.row for each in known.values() if each.row]
    return {
        name: each
        for name, each in known.items()
        if each.row and not comparison.incomparable([rows[0], each.row], archive)
    }


def _best(known: Mapping[str, Number], metric: str) -> str | None:
    better = max if metric in LARGER_IS_BETTER else min
    return better(known, key=lambda name: known[name].value, default=None)


def _candidate(
    name: str, number: Number | None, best: Number | None, archive: Archive, *, num_candidates: int
) -> Facts:
    row = number.row if number else None
    told = {
        "name": name,
        "step": number.step if number else None,
        "num_samples": row.num_samples if row else None,
        "value": number.value if number else None,
        "text": with_error(number.value, number.se) if number else "not measured",
        "refused": [each.rule for each in gate.refusals(row, archive, Terms())] if row else [],
        "is": "not measured",
        "difference": "",
    }
    if number is None or best is None:
        return told
    if number is best:
        return {**told, "is": "best"}
    return {**told, **_against(row, best.row, archive, num_candidates=num_candidates)}


def _against(row: Row | None, best: Row | None, archive: Archive, *, num_candidates: int) -> Facts:
    """How a candidate stands to the best of all."""
    if row is None or best is None:
        return {"is": "not measured"}
    if refusal := comparison.incomparable([row, best], archive):
        return {"is": "not comparable", "difference": refusal.reason}
    if row.se is None or best.se is None:
        return {"is": "indistinguishable", "difference": "no error is known"}
    apart = comparison.apart_of(row, best, candidates=num_candidates, archive=archive)
    text = (
        f"{with_sign(apart.value, apart.se)} ({apart.se_kind}), {in_errors(apart.z)} standard"
        f" errors of {apart.critical:.2f} needed"
    )
    return {"is": "worse" if apart.shown else "indistinguishable", "difference": text}


def _fresh(side: str | None, metrics: Sequence[str], study: Study, archive: Archive) -> list[Facts]:
    if side is None:
        return []
    found = []
    for metric in metrics:
        for name, number in _candidates([side], metric, study, archive):
            told = _candidate(name, number, None, archive, num_candidates=1)
            found.append({**told, "metric": metric})
    return found
