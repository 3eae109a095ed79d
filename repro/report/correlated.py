"""Whether one number of a study rises or falls with another: the controls of that kind."""

from collections.abc import Iterator

from attrs import frozen

from repro.errors import ClaimError
from repro.report import numbers
from repro.report.archive import Archive
from repro.report.beside import Control
from repro.report.plotted import others
from repro.report.sides import Study


@frozen(kw_only=True)
class Finding:
    """Whether the interval is on the side of zero that the control names, and what it is."""

    shows: bool
    why: str


@frozen(kw_only=True)
class Pair:
    """Both numbers of one run at one step."""

    x: float
    y: float
    step: int | None
    run: str


def check(control: Control, study: Study, archive: Archive) -> Finding:
    """The rank correlation over runs and checkpoints, its points taken as independent.

    Raises:
        ClaimError: the spec cannot be read, or has no two numbers to hold against each other.
    """
    from repro.metrics.correlation import correlation

    pairs = [*_pairs(control, study, archive)]
    if not pairs:
        spec = control.side.partition(":")[0]
        raise ClaimError(
            f"{control.side}: {control.metric} and {control.other} were never recorded at one "
            f"step; `python -m repro run {study.paths[spec]}`"
        )
    found = correlation(
        [each.x for each in pairs],
        [each.y for each in pairs],
        ranks=True,
        within=[getattr(each, control.within) for each in pairs] if control.within else None,
    )
    among = f"{len(pairs)} points"
    if control.within:
        among += f", among those of a {control.within}"
    if control.within != "step" and len({each.run for each in pairs}) < len(pairs):
        among += "; taken as independent, which checkpoints of one run are not"
    if found is None:
        return Finding(shows=False, why=f"{among}: too few, or all alike, for a correlation")
    end = found.low if control.relation == "rises-with" else -found.high
    interval = f"{found.value:+.2f}, 95 % within {found.low:+.2f} and {found.high:+.2f}"
    why = f"rank correlation of {control.metric} with {control.other}: {interval} ({among})"
    return Finding(shows=end > 0, why=why)


def _pairs(control: Control, study: Study, archive: Archive) -> Iterator[Pair]:
    spec_name, _, pattern = control.side.partition(":")
    if spec_name in study.problems:
        raise ClaimError(study.problems[spec_name])
    for spec in study.runs[spec_name]:
        for place in numbers.places(spec, pattern):
            for number in numbers.numbers(place, control.metric, archive):
                for x in others(number, str(control.other), place, archive):
                    yield Pair(x=x, y=number.value, step=number.step, run=number.run_id)
