"""What others recorded about a study: to look at beside its own numbers, never evidence.

Numbers stand together if one source gives them for one metric of as many samples: no other two may
be compared.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.ledger.database import query
from repro.report.pages import METRICS

Facts = dict[str, Any]

MAX_NUMBERS = 100
"""Of a curve: a longer one is thinned to so many and its last."""

_IN_A_CELL = 4
_DIGITS = 7  # as many as a number of single precision has
_STATEMENT = """
WITH placed AS (
    SELECT
        *,
        row_number() OVER curve AS place,
        count(*) OVER (PARTITION BY source, metric, num_samples, run) AS many
    FROM imported WHERE study = $1
    WINDOW curve AS (
        PARTITION BY source, metric, num_samples, run
        ORDER BY execution_id, seq, step NULLS FIRST
    )
)
SELECT source, metric, num_samples, run, many, step, "value", facts
FROM placed
WHERE (place - 1) % ((many - 1) // $2 + 1) = 0 OR place = many
ORDER BY source, metric, num_samples DESC NULLS LAST, execution_id, seq, step NULLS FIRST
"""


def imported(root: Path, study: str) -> list[Facts]:
    """The groups of numbers that may stand together, those of known metrics first.

    The runs of a group come in the order in which they were told.
    """
    groups: dict[tuple[Any, ...], dict[str, list[Sequence[Any]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for source, metric, num_samples, run, *rest in query(
        root, _STATEMENT, [study, MAX_NUMBERS]
    ).rows:
        groups[source, metric, num_samples][run].append(rest)
    told = [
        {
            "source": source,
            "metric": metric,
            "num_samples": num_samples,
            "runs": [_of_run(name, rows) for name, rows in runs.items()],
        }
        for (source, metric, num_samples), runs in groups.items()
    ]
    return sorted(told, key=lambda group: group["metric"] not in METRICS)


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
