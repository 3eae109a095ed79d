"""One entry of `[[evaluate]]` or `[[probe]]` as several, where a sampling parameter is an array.

    [[evaluate]]
    name = "alpha-sweep"
    sample.sampler = { kind = "one-step", alpha = [1.0, 1.5, 2.0] }

stands for `alpha-sweep-1.0`, `alpha-sweep-1.5` and `alpha-sweep-2.0`, which share everything else.
What stands under the first name in `select.among` stands for all of them. This happens before the
data become a spec, so that a spec, its identity and its plan know single values only.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from attrs import evolve, frozen

from repro.spec.compose import Data
from repro.spec.problems import Problem

AXES: tuple[tuple[str, ...], ...] = (
    ("sample", "sampler", "alpha"),
    ("sample", "sampler", "eta"),
    ("sample", "sampler", "steps"),
    ("sample", "guidance", "scale"),
)
"""What may be an array, in the order in which values appear in a name."""

TABLES = ("evaluate", "probe")


@frozen(kw_only=True)
class Expanded:
    """Data without such arrays; `origins` are the numbers of the entries as they were written."""

    data: Data
    origins: Mapping[str, Sequence[int]]

    def as_written(self, problem: Problem) -> Problem:
        """A problem of an entry in the place where that entry was written."""
        match problem.path:
            case (str() as table, int() as index, *rest) if table in self.origins:
                return evolve(problem, path=(table, self.origins[table][index], *rest))
            case _:
                return problem


def expanded(data: Data) -> Expanded:
    """Data with every such entry as several."""
    result, origins, members = dict(data), {}, {}
    for table in TABLES:
        if not isinstance(entries := data.get(table), list):
            continue
        several = [list(_several(entry)) for entry in entries]
        for entry, those in zip(entries, several, strict=True):
            if len(those) > 1 or those[0] is not entry:
                members[entry.get("name")] = [each["name"] for each in those]
        result[table] = [each for those in several for each in those]
        origins[table] = [index for index, those in enumerate(several) for _ in those]
    select = data.get("select")
    if members and isinstance(select, dict) and isinstance(select.get("among"), list):
        among = [each for name in select["among"] for each in _members(name, members)]
        result["select"] = {**select, "among": among}
    return Expanded(data=result, origins=origins)


def _members(name: Any, members: Mapping[Any, Sequence[str]]) -> Sequence[Any]:
    return members.get(name, [name]) if isinstance(name, str) else [name]


def _several(entry: Any) -> Iterator[Any]:
    """The entries that one stands for; itself, if none of its parameters is an array."""
    axes = [(path, values) for path in AXES if isinstance(values := _at(entry, path), list)]
    named = isinstance(entry, dict) and isinstance(entry.get("name"), str)
    if not named or not axes or not all(values for _, values in axes):
        yield entry
        return
    for chosen in product(*(values for _, values in axes)):
        one = entry
        for (path, _), value in zip(axes, chosen, strict=True):
            one = _with(one, path, value)
        yield {**one, "name": "-".join([entry["name"], *map(str, chosen)])}


def _at(value: Any, path: Sequence[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _with(table: Data, path: Sequence[str], value: Any) -> Data:
    step, *rest = path
    return {**table, step: _with(table[step], rest, value) if rest else value}
