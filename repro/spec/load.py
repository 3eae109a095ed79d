"""A spec file to the specs that it describes, or every mistake in it."""

from collections.abc import Iterator, Sequence
from functools import cache, reduce
from operator import itemgetter
from pathlib import Path

from repro.errors import SpecError
from repro.spec import compose, lists
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
from repro.spec.upstream import Upstreams

MAX_FAILURES = 20


def load(path: Path, *, overrides: Sequence[str] = ()) -> tuple[Spec, ...]:
    """The specs of a file: one, or one a combination of its `[sweep]`, equal ones once.

    *overrides* are `a.b=value`, as the command line takes them. They come last, so they also
    replace what a sweep sets.

    Raises:
        SpecError: with every mistake, each with its file, line and path.
    """
    return _load(path, overrides, above=())


def _load(path: Path, overrides: Sequence[str], *, above: Sequence[Path]) -> tuple[Spec, ...]:
    """The specs of a file; *above* are the real paths of the files whose upstream run it is."""
    files = compose.sources(path)
    options = [compose.assignment(option) for option in overrides]
    to_sweep = [each for each in options if each.path[0] == "sweep"]
    to_specs = [each for each in options if each.path[0] != "sweep"]
    data = reduce(compose.assign, to_sweep, compose.merged(files))
    sweep = data.pop("sweep", None)
    named = Upstreams(
        path=path,
        above=(*above, path.resolve()),
        load=cache(lambda file, below: _load(file, (), above=below)),
    )
    specs: list[Spec] = []
    failures: list[list[str]] = []
    for combination in _combinations(sweep, files, to_sweep):
        assignments = (*combination, *to_specs)
        spec, said = _judged(reduce(compose.assign, assignments, data), named, files, assignments)
        if spec is None:
            failures.append(said)
        else:
            specs.append(spec)
        if len(failures) == MAX_FAILURES:
            break
    if failures:
        raise SpecError(*dict.fromkeys(line for failure in failures for line in failure))
    return tuple({run_id(spec): spec for spec in specs}.values())


def _judged(
    data: Data, named: Upstreams, files: Sequence[Source], assignments: Sequence[Assignment]
) -> tuple[Spec | None, list[str]]:
    """The spec of one combination, or None and its mistakes."""

    def place_of(key: KeyPath) -> Place | None:
        return nearest_place(key, compose.places(files, assignments))

    try:
        whole = lists.expanded(named.embedded(data, place_of))
    except SpecError as error:
        return None, list(error.problems)
    spec, found = judged(whole.data)
    if spec is None:
        written = list(dict.fromkeys(map(whole.as_written, found)))
        return None, _said(written, compose.places(files, assignments), named.path)
    return spec, []


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
