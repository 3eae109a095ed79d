"""Files of numbers: the tables of a write-up, or the log of a training.

A *.json file is a table of numbers, each with the run and the metric that it is of. What `facts`
says stands for every run, or for the number that it stands beside:

    {"source": "Path exploration", "study": "slot", "facts": {"dataset": "cifar10"},
     "numbers": [{"run": "lead_5", "metric": "fid", "value": 34.21, "step": 52685,
                  "num_samples": 10000, "facts": {"where": "the table"}}]}

Only `run`, `metric` and `value` are needed; a list of such tables has several sources. Any other
file, such as *.jsonl, is a log with a JSON object a line. Numbers are metrics, nested ones by
dotted names; `step` is the step. Tables named `cfg`, `config`, `args`, `params` or `hparams` are
settings: lines with equal ones are a run, named after folder and file, from the second on counted.
Texts that all its lines repeat describe it too.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.errors import ResourceError
from repro.ledger.exchange.told import Curve, Notify, Run, flat, number, step

_TABLE = {"source": str, "study": str, "facts": dict, "numbers": list}
_NUMBER = {"run", "metric", "value", "step", "num_samples", "facts"}
_SETTINGS = frozenset({"cfg", "config", "args", "params", "hparams"})


def read(path: Path, notify: Notify) -> Iterator[Run]:
    """Every run of a file.

    Raises:
        ResourceError: it is not there, or says something else than the shapes above.
    """
    del notify
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ResourceError(f"{path}: expected UTF-8: {error}") from error
    if path.suffix == ".json":
        yield from _tables(path, text)
    else:
        yield from _log(path, text)


def _tables(path: Path, text: str) -> Iterator[Run]:
    said = _decoded(text, f"{path}")
    tables = said if isinstance(said, list) else [said]
    problems = [problem for table in tables for problem in _problems(table)]
    if problems:
        raise ResourceError(*(f"{path}: {problem}" for problem in problems))
    for table in tables:
        rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for each in table["numbers"]:
            rows[each["run"]].append(each)
        for name, found in rows.items():
            yield Run(
                name=name,
                curves=tuple(_curve(each) for each in found),
                facts=table.get("facts", {}),
                source=table.get("source", ""),
                study=table.get("study", ""),
            )


def _curve(row: Mapping[str, Any]) -> Curve:
    return Curve(
        metric=row["metric"],
        steps=(row.get("step"),),
        values=(float(row["value"]),),
        num_samples=row.get("num_samples"),
        facts=row.get("facts", {}),
    )


def _problems(said: Any) -> Iterator[str]:
    """Everything that is wrong with a table, each as one line."""
    if not isinstance(said, dict) or not isinstance(said.get("numbers"), list):
        yield "expected an object with a list named `numbers`; a log of objects is named *.jsonl"
        return
    for name, value in said.items():
        if name not in _TABLE:
            yield f"{name}: unknown, expected one of: {', '.join(_TABLE)}"
        elif not isinstance(value, _TABLE[name]):
            yield f"{name}: expected {_TABLE[name].__name__}, got {value!r:.60}"
    for index, row in enumerate(said["numbers"]):
        yield from (f"numbers[{index}]: {problem}" for problem in _row_problems(row))


def _row_problems(row: Any) -> Iterator[str]:
    if not isinstance(row, dict):
        yield f"expected an object, got {row!r:.60}"
        return
    yield from (f"{name}: unknown" for name in sorted(set(row) - _NUMBER))
    for name in ("run", "metric"):
        if not isinstance(row.get(name), str) or not row[name]:
            yield f"{name}: expected a text, got {row.get(name)!r:.60}"
    if number(row.get("value")) is None:
        yield f"value: expected a number, got {row.get('value')!r:.60}"
    for name in ("step", "num_samples"):
        if row.get(name) is not None and not _whole(row[name]):
            yield f"{name}: expected a whole number, got {row[name]!r:.60}"
    if not isinstance(row.get("facts", {}), dict):
        yield f"facts: expected an object, got {row['facts']!r:.60}"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and step(value) is not None


def _log(path: Path, text: str) -> Iterator[Run]:
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for place, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            said = _line(line, f"{path}: line {place}")
            runs[json.dumps(_settings(said), sort_keys=True)].append(said)
    if not runs:
        raise ResourceError(f"{path}: is empty; expected a JSON object a line")
    name = f"{path.absolute().parent.name}/{path.name.removesuffix(path.suffix)}"
    for index, lines in enumerate(runs.values(), start=1):
        yield Run(
            name=name if index == 1 else f"{name} ({index})",
            curves=_curves(lines),
            facts=_settings(lines[0]) | _repeated_texts(lines),
        )


def _curves(lines: Sequence[Mapping[str, Any]]) -> tuple[Curve, ...]:
    points: dict[str, list[tuple[int | None, float]]] = defaultdict(list)
    for line in lines:
        for name, item in _others(line).items():
            value = number(item)
            if value is not None:
                points[name].append((step(line.get("step")), value))
    return tuple(
        Curve(
            metric=name,
            steps=tuple(at for at, _ in found),
            values=tuple(value for _, value in found),
        )
        for name, found in points.items()
    )


def _settings(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in line.items() if name in _SETTINGS}


def _others(line: Mapping[str, Any]) -> dict[str, Any]:
    """Everything but settings and step, by dotted names."""
    rest = {name: item for name, item in line.items() if name not in {*_SETTINGS, "step"}}
    return dict(flat(rest))


def _repeated_texts(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    texts = {
        name: item
        for name, item in _others(lines[0]).items()
        if isinstance(item, str | bool) and number(item) is None
    }
    for line in lines[1:]:
        others = _others(line)
        texts = {name: item for name, item in texts.items() if others.get(name) == item}
    return texts


def _line(text: str, place: str) -> dict[str, Any]:
    found = _decoded(text, place)
    if not isinstance(found, dict):
        raise ResourceError(f"{place}: expected a JSON object, got {found!r:.60}")
    return found


def _decoded(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ResourceError(f"{place}: no JSON: {error}") from error
    except RecursionError as error:
        raise ResourceError(f"{place}: nested too deeply") from error
