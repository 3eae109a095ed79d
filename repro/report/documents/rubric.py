"""How complete a study is: weighted stages, each with criteria that are queries of the ledger.

    schema = 1

    [[stages]]
    name = "Drift core and toys"
    weight = 10

    [[stages.criteria]]
    text = "Both toys were trained."
    query = "SELECT count(DISTINCT run_id) >= 2 FROM executions WHERE study = 'toy' AND ..."

A query answers with one row of one truth value; one without a row is not met. A stage is complete
by the share of its criteria that are met, the study by the shares of its stages in their weights.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from attrs import field, frozen
from cattrs import Converter
from cattrs.errors import BaseValidationError

from repro.errors import ClaimError, QueryError, SpecError
from repro.ledger.database import query, query_all
from repro.report.naming import sentence
from repro.spec import converter, fields, toml
from repro.spec.problems import Mistake, dotted

FILE = "rubric.toml"
SCHEMA = 1
METRIC = "completion_percent"
"""What others published of a stage, by its name as the run's."""

_PUBLISHED = """
SELECT run, "value", source FROM imported WHERE study = $study AND metric = $metric
ORDER BY execution_id, seq
"""


@frozen(kw_only=True)
class Criterion:
    """A sentence and the query that says whether it holds."""

    text: str = sentence()
    query: str = sentence()


@frozen(kw_only=True)
class RubricStage:
    """A part of the work, with its weight."""

    name: str = sentence()
    weight: float = field(validator=[fields.finite, fields.above(0)])
    criteria: tuple[Criterion, ...] = field(validator=fields.not_empty)


@frozen(kw_only=True)
class Rubric:
    """All parts of the work."""

    schema: int = field(validator=fields.one_of(SCHEMA))
    stages: tuple[RubricStage, ...] = field(validator=fields.not_empty)


def read(path: Path) -> Rubric:
    """The rubric of a file.

    Raises:
        ClaimError: with every mistake in it.
    """
    try:
        data = toml.parse(toml.read(path), str(path))
        found: Rubric = _reader().structure(data, Rubric)
    except SpecError as error:
        raise ClaimError(*error.problems) from error
    except (BaseValidationError, Mistake) as error:
        problems = converter.problems(error)
        raise ClaimError(
            *(f"{path}: {dotted(each.path)}: {each.message}" for each in problems)
        ) from error
    return found


def facts(root: Path, study: str, folder: Path) -> dict[str, Any]:
    """The stages with their completion, beside what others published of them.

    Raises:
        ClaimError: the rubric cannot be read, or one of its queries fails.
    """
    rubric = read(folder / FILE)
    said = {
        run: (value, source)
        for run, value, source in query(root, _PUBLISHED, {"study": study, "metric": METRIC}).rows
    }
    answers = _answers(root, rubric)
    told = [_of_stage(each, answers, said.get(each.name)) for each in rubric.stages]
    weight = sum(each["weight"] for each in told)
    share = sum(each["weight"] * each["share"] for each in told) / weight
    return {
        "stages": told,
        "weight": weight,
        "share": share,
        "published": said.get("overall", (None, ""))[0],
        "source": next((source for _, source in said.values()), ""),
    }


def _answers(root: Path, rubric: Rubric) -> Mapping[str, Sequence[Sequence[Any]]]:
    """The rows that each query gives, all of one moment of the ledger.

    Raises:
        ClaimError: one of them fails.
    """
    asked = {each.query: (stage, each) for stage in rubric.stages for each in stage.criteria}
    try:
        tables = query_all(root, dict.fromkeys(asked, ()))
    except QueryError:
        for statement, (stage, criterion) in asked.items():
            try:
                query(root, statement)
            except QueryError as error:
                raise ClaimError(f"{FILE}: {stage.name}: {criterion.text}: {error}") from error
        raise
    return {statement: each.rows for statement, each in zip(asked, tables, strict=True)}


def _of_stage(
    stage: RubricStage,
    answers: Mapping[str, Sequence[Sequence[Any]]],
    said: tuple[float, str] | None,
) -> dict[str, Any]:
    criteria = [
        {
            "text": each.text,
            "query": each.query.strip(),
            "met": _met(answers[each.query], each, stage.name),
        }
        for each in stage.criteria
    ]
    return {
        "name": stage.name,
        "weight": stage.weight,
        "criteria": criteria,
        "share": sum(bool(each["met"]) for each in criteria) / len(criteria),
        "published": said[0] if said else None,
    }


def _met(rows: Sequence[Sequence[Any]], criterion: Criterion, stage: str) -> bool:
    answers = [value for row in rows for value in row]
    if len(answers) > 1 or not all(each is None or isinstance(each, bool) for each in answers):
        msg = "expected at most one row of one truth value"
        raise ClaimError(f"{FILE}: {stage}: {criterion.text}: {msg}, got {answers[:4]}")
    return answers == [True]


@cache
def _reader() -> Converter:
    return converter.make_reader()
