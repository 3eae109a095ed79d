"""Plain data to a spec, or everything that is wrong with them; and a spec to plain data."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any

from cattrs import Converter
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError

from repro.errors import SpecError
from repro.spec import checks, converter
from repro.spec.document import SCHEMA, Spec
from repro.spec.problems import KeyPath, Mistake, Problem, dotted

MAX_PROBLEMS = 50


def structure(data: Mapping[str, Any]) -> Spec:
    """The spec that plain data, as TOML gives them, describe.

    Raises:
        SpecError: with every mistake in the data.
    """
    spec, found = judged(data)
    if spec is None:
        raise SpecError(*(f"{dotted(each.path)}: {each.message}" for each in found))
    return spec


def dump(spec: Spec) -> dict[str, Any]:
    """All of a spec as plain data; `structure` gives the same spec back."""
    data: dict[str, Any] = _writer().unstructure(spec)
    return data


def judged(data: Any, *, recorded: bool = False) -> tuple[Spec | None, Sequence[Problem]]:
    """The spec, or None and the problems. *recorded* data come from canonical bytes."""
    try:
        spec: Spec = _reader(recorded=recorded, thorough=False).structure(data, Spec)
    except (ForbiddenExtraKeysError, KeyError, Mistake, ValueError):
        return None, _all_problems(data, _reader(recorded=recorded, thorough=True))
    found = _first(checks.check(spec))
    return (None, found) if found else (spec, ())


def _first(found: Iterator[Problem]) -> list[Problem]:
    some = list(islice(found, MAX_PROBLEMS + 1))
    if len(some) > MAX_PROBLEMS:
        some[-1] = Problem((), "and more; these are the first")
    return some


def _all_problems(data: Any, reader: Converter) -> Sequence[Problem]:
    found = _first(_type_problems(data, reader))
    if len(found) > MAX_PROBLEMS or not isinstance(data, dict):
        return found
    broken = {str(each.path[0]) for each in found if not each.unknown}
    sound: Any = {key: value for key, value in data.items() if key not in broken}
    for each in found:
        if each.unknown and each.path[0] not in broken:
            sound = _without(sound, each.path)
    if "schema" in broken:
        sound["schema"] = SCHEMA
    disagreements = checks.check(reader.structure(sound, Spec), broken=broken)
    return _first(chain(found, disagreements))


def _type_problems(data: Any, reader: Converter) -> Iterator[Problem]:
    try:
        reader.structure(data, Spec)
    except (BaseValidationError, Mistake) as error:
        yield from converter.problems(error)


def _without(data: Any, path: KeyPath) -> Any:
    step, *rest = path
    if isinstance(data, list):
        return [
            _without(each, tuple(rest)) if index == step else each
            for index, each in enumerate(data)
        ]
    if rest:
        return {**data, step: _without(data[step], tuple(rest))}
    return {key: value for key, value in data.items() if key != step}


@cache
def _reader(*, recorded: bool, thorough: bool) -> Converter:
    return converter.make_reader(recorded=recorded, thorough=thorough)


@cache
def _writer() -> Converter:
    return converter.make_writer(identity=False)
