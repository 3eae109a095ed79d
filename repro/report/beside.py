"""What stands beside a claim and decides nothing: controls, plots, numbers of others.

    [[claims]]
    kind = "comparison"
    name = "lead-beats-sync"
    ...
    claimed = "Lead 5 reaches an FID of 34.2, synchronous generation 43.2."
    published = [{ run = "lead_5", metric = "fid" }, { run = "sync", metric = "fid" }]
    open = "Whether it holds on CIFAR-10: `python -m repro run specs/slot/cifar10.toml`."

    [[claims.controls]]
    name = "lead-beats-sync-on-digits"
    text = "On digits, lead 2 is nearer to the data than synchronous generation."
    side = "digits:lead-2"
    metric = "fid"
    relation = "less"
    than = "digits:sync"
    scale = "8x8 digits, one seed, distance on pixels"

    [[plots]]
    name = "fid-over-training"
    title = "FID over training"
    claim = "lead-beats-sync"
    metric = "fid"
    [[plots.series]]
    label = "lead 2"
    sides = ["digits:lead-2@*"]

A control may rest on any number on record: of an evaluation or a probe, of a calibration below it
(`mean_error`, `std_error`), or one that a training logged (`spec:train`, `spec:train@step`). It is
no evidence, whatever it shows.
"""

from collections.abc import Iterator
from typing import Literal

from attrs import field, frozen

from repro.report.naming import NAME, a_side_or_none, sentence, some_sides
from repro.spec import fields
from repro.spec.problems import KeyPath, Problem

Relation = Literal["below", "above", "near", "less", "greater", "rises-with", "falls-with"]
Axis = Literal["x", "y"]
AXIS = r"step|seconds|parameters|metric:[^\s:]+|[a-z][a-z0-9_]*(\.[a-z0-9_]+)+"
WITH_VALUE, WITH_SIDE = ("below", "above", "near"), ("less", "greater", "near")
CORRELATED = ("rises-with", "falls-with")


def _finite_or_none(instance: object, attribute: object, value: float | None) -> None:
    if value is not None:
        fields.finite(instance, attribute, value)  # type: ignore[arg-type]


@frozen(kw_only=True)
class Published:
    """A number that others recorded, as the ledger imported it, of this study or another."""

    run: str = sentence()
    metric: str = sentence()
    step: int | None = None
    num_samples: int | None = None
    study: str = ""


@frozen(kw_only=True)
class Control:
    """A number of one side is `below`, `above` or `near` a value, `less` or `greater` than another.

    Of a sweep the mean over its runs counts. A difference is `near` if all of its 95 % interval is
    within `tolerance`. Two sides are measured alike, unless `across_protocols` says that their
    protocols are what differs. `scale` says in words at which size this was done.

    It `rises-with`, or `falls-with`, the metric `other` of the same run and step when the rank
    correlation over all that the side names (`*` and `@*` included) is of that sign with 95 %
    confidence. `within = "step"` takes out what every run has in common at a step: two numbers that
    both drift with training are correlated whatever they have to do with each other.
    `within = "run"` takes out what is a run's own, and leaves how both move as it trains.
    """

    name: str = fields.text(NAME)
    text: str = sentence()
    side: str = field(validator=some_sides)
    metric: str = sentence()
    relation: Relation
    value: float | None = field(default=None, validator=_finite_or_none)
    than: str | None = field(default=None, validator=a_side_or_none)
    tolerance: float | None = field(default=None, validator=_finite_or_none)
    other: str | None = None
    within: Literal["step", "run"] | None = None
    across_protocols: bool = False
    scale: str = sentence()


@frozen(kw_only=True)
class Series:
    """A line of a plot: the numbers of some sides, in order of x.

    `metric` is the plot's unless it says another. Numbers that a training logged at many steps are
    shown as means of `mean_of` of them in a row.
    """

    label: str = sentence()
    sides: tuple[str, ...] = field(validator=[fields.not_empty, fields.each(some_sides)])
    metric: str = ""
    mean_of: int = field(default=1, validator=fields.at_least(1))


@frozen(kw_only=True)
class Plot:
    """Numbers over x, drawn beneath the `claim` that it names, or by itself.

    x is the `step` of the checkpoint, the `seconds` of training until there, the `parameters` of
    the network, another `metric:<name>` of the same run and step, or a field of the spec
    (`sample.sampler.alpha`; of a list the number at a place, `sample.sampler.path.ahead.0`).
    `log` names the axes that are logarithmic.
    """

    name: str = fields.text(NAME)
    title: str = sentence()
    claim: str = ""
    metric: str = sentence()
    x: str = fields.text(AXIS, default="step")
    log: tuple[Axis, ...] = ()
    series: tuple[Series, ...] = field(validator=fields.not_empty)


def disagreements(control: Control, path: KeyPath) -> Iterator[Problem]:
    """What a control's relation needs and does not have, or has and cannot use."""
    given = [name for name in ("value", "than", "other") if getattr(control, name) is not None]
    usable = [
        name
        for name, relations in (("value", WITH_VALUE), ("than", WITH_SIDE), ("other", CORRELATED))
        if control.relation in relations
    ]
    if control.relation not in CORRELATED:
        if "*" in control.side:
            msg = f"relation {control.relation!r} is of one side, got {control.side!r}"
            yield Problem((*path, "side"), msg)
        if control.within:
            yield Problem((*path, "within"), f"expected only with: {', '.join(CORRELATED)}")
    if len(given) != 1 or given[0] not in usable:
        wanted = " or ".join(f"`{name}`" for name in usable)
        yield Problem(path, f"relation {control.relation!r} needs {wanted}, got {given or 'none'}")
    if (control.tolerance is None) == (control.relation == "near"):
        yield Problem(path, "expected a `tolerance` with relation 'near', and only there")
    if control.than == control.side:
        yield Problem((*path, "than"), "expected another side than `side`")
