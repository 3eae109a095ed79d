"""A spec file to the specs that it describes, or every mistake in it."""

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import itemgetter
from pathlib import Path

from repro.errors import SpecError
from repro.spec import compose
from repro.spec.compose import (
    Assignment,
    Data,
    Place,
    Places,
    Source,
    nearest_place,
    shown_place,
)
from repro.spec.document import Spec
from repro.spec.identity import run_id
from repro.spec.problems import KeyPath, Problem, dotted
from repro.spec.structure import judged

MAX_FAILURES = 20


def load(path: Path, *, overrides: Sequence[str] = ()) -> tuple[Spec, ...]:
    """The specs of a file: one, or one a combination of its `[sweep]`, equal ones once.

    *overrides* are `a.b=value`, as the command line takes them. They come last, so they also
    replace what a sweep sets.

    Raises:
        SpecError: with every mistake, each with its file, line and path.
    """
    files = compose.sources(path)
    options = [compose.assignment(option) for option in overrides]
    to_sweep = [each for each in options if each.path[0] == "sweep"]
    to_specs = [each for each in options if each.path[0] != "sweep"]
    data = reduce(compose.assign, to_sweep, compose.merged(files))
    sweep = data.pop("sweep", None)
    specs: list[Spec] = []
    failures: list[list[str]] = []
    for combination in _combinations(sweep, files, to_sweep):
        assignments = (*combination, *to_specs)
        spec, found = judged(reduce(compose.assign, assignments, data))
        if spec is None:
            failures.append(_said(found, compose.places(files, assignments), path))
        else:
            specs.append(spec)
        if len(failures) == MAX_FAILURES:
            break
    if failures:
        raise SpecError(*dict.fromkeys(line for failure in failures for line in failure))
    return tuple({run_id(spec): spec for spec in specs}.values())


def _combinations(
    sweep: Data | None, files: Sequence[Source], to_sweep: Sequence[Assignment]
) -> Iterator[tuple[Assignment, ...]]:
    if sweep is None:
        return iter([()])
    return compose.combinations(sweep, compose.places(files, to_sweep))


def _said(found: Sequence[Problem], places: Places, path: Path) -> list[str]:
    placed = [(_place(each, places) or (str(path), 0), each) for each in found]
    placed.sort(key=itemgetter(0))
    return [f"{shown_place(place)}: {_prefix(each.path)}{each.message}" for place, each in placed]


def _place(problem: Problem, places: Places) -> Place | None:
    return nearest_place(problem.path, places) or nearest_place(problem.asked_by, places)


def _prefix(path: KeyPath) -> str:
    return f"{dotted(path)}: " if path else ""
