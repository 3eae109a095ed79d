"""What others recorded about a study: to look at beside its own numbers, never evidence.

Numbers stand together if one source gives them for one metric of as many samples: no other two may
be compared. A page has room for a part of what a tracker holds; it says how much it leaves out.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.ledger.database import query
from repro.report.beside import Published
from repro.report.pages import METRICS

Facts = dict[str, Any]

MAX_GROUPS = 24
MAX_RUNS = 100  # of a group
MAX_NUMBERS = 100
"""Of a curve: a longer one is thinned to so many and its last."""

_IN_A_CELL = 4
_DIGITS = 7  # as many as a number of single precision has

_GROUPS = """
SELECT source, metric, num_samples, count(DISTINCT run) FROM imported WHERE study = $study
GROUP BY source, metric, num_samples
ORDER BY NOT list_contains($known, metric), source, metric, num_samples DESC NULLS LAST
"""
_NUMBERS = """
WITH told AS (
    FROM imported
    WHERE study = $study AND source = $source AND metric = $metric
        AND num_samples IS NOT DISTINCT FROM $num_samples
),
shown AS (SELECT run FROM told GROUP BY run ORDER BY min((execution_id, seq)) LIMIT $max_runs),
placed AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY run ORDER BY execution_id, seq, step NULLS FIRST
        ) AS place,
        count(*) OVER (PARTITION BY run) AS many
    FROM told JOIN shown USING (run)
)
SELECT run, many, step, "value", facts FROM placed
WHERE (place - 1) % ((many - 1) // $max_numbers + 1) = 0 OR place = many
ORDER BY execution_id, seq, step NULLS FIRST
"""


def imported(root: Path, study: str) -> Facts:
    """The groups of numbers that may stand together, those of known metrics first, and how many.

    The runs of a group come in the order in which they were told.
    """
    groups = query(root, _GROUPS, {"study": study, "known": list(METRICS)}).rows
    return {
        "num_groups": len(groups),
        "groups": [_of_group(root, study, *group) for group in groups[:MAX_GROUPS]],
    }


_NAMED = """
SELECT source, run, metric, step, num_samples, "value", facts FROM imported
WHERE study = $study AND list_contains($runs, run) AND list_contains($metrics, metric)
ORDER BY execution_id, seq, step NULLS FIRST
"""


def published(root: Path, study: str, numbers: Sequence[Published]) -> list[Facts]:
    """The numbers of others that a claim names, as they were imported; none where they were not."""
    known: dict[str, Sequence[Sequence[Any]]] = {}
    for name in dict.fromkeys(each.study or study for each in numbers):
        own = [each for each in numbers if (each.study or study) == name]
        wanted = {"runs": [each.run for each in own], "metrics": [each.metric for each in own]}
        known[name] = query(root, _NAMED, {"study": name, **wanted}).rows
    return [
        fact
        for each in numbers
        for fact in _published(each.study or study, each, known[each.study or study])
    ]


def _published(study: str, named: Published, known: Sequence[Sequence[Any]]) -> list[Facts]:
    wanted = {
        "run": named.run,
        "metric": named.metric,
        "step": named.step,
        "num_samples": named.num_samples,
    }
    rows = [
        row
        for row in known
        for _, run, metric, step, num_samples, *_ in [row]
        if (run, metric) == (named.run, named.metric)
        and named.step in (None, step)
        and named.num_samples in (None, num_samples)
    ]
    if not rows:
        return [{**wanted, "study": study, "source": None, "value": None, "text": "", "where": ""}]
    return [
        {
            "study": study,
            "source": source,
            "run": run,
            "metric": metric,
            "step": step,
            "num_samples": num_samples,
            "value": value,
            "text": ("about " if said.get("approximate") else "") + _number(None, value),
            "where": str(said.get("where", "")),
        }
        for source, run, metric, step, num_samples, value, facts in rows
        for said in [json.loads(facts or "{}")]
    ]


def _of_group(
    root: Path, study: str, source: str, metric: str, num_samples: int | None, num_runs: int
) -> Facts:
    named = {"source": source, "metric": metric, "num_samples": num_samples}
    limits = {"study": study, "max_runs": MAX_RUNS, "max_numbers": MAX_NUMBERS}
    runs: dict[str, list[Sequence[Any]]] = defaultdict(list)
    for run, *rest in query(root, _NUMBERS, {**named, **limits}).rows:
        runs[run].append(rest)
    told = [_of_run(name, rows) for name, rows in runs.items()]
    return {**named, "num_runs": num_runs, "runs": told}


def _of_run(name: str, rows: Sequence[Sequence[Any]]) -> Facts:
    many = rows[0][0]
    numbers = [[step, value] for _, step, value, _ in rows]
    said: Mapping[str, Any] = json.loads(rows[-1][3] or "{}")
    return {
        "run": name,
        "count": many,
        "numbers": numbers,
        "text": _text(numbers, many),
        "where": str(said.get("where", "")),
        "approximate": said.get("approximate", False),
    }


def _text(numbers: Sequence[Sequence[Any]], many: int) -> str:
    """Numbers as a cell says them: all of a few, the last of many."""
    if many <= _IN_A_CELL:
        return ", ".join(_number(step, value) for step, value in numbers)
    return f"{_number(*numbers[-1])}, the last of {many:,}"


def _number(step: int | None, value: float) -> str:
    shown = f"{value:.{_DIGITS}g}"
    return shown if step is None else f"{shown} at step {step:,}"
