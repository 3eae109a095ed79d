"""What people claim: reports/<study>/claims.toml, read strictly.

    schema = 1
    title = "A drifting generator in a few CPU minutes"

    [specs.cifar10]
    path = "../../specs/quickstart/cifar10.toml"

    [[claims]]
    kind = "comparison"
    name = "training-helps"
    text = "The trained generator has a lower FID than its untrained state."
    metric = "fid"
    left = "cifar10:trained"
    relation = "less"
    right = "cifar10:untrained"

A side is `spec:evaluation`, or `spec:evaluation@step` where it reads several checkpoints. What may
stand beside claims, controls and plots, is in `repro.report.beside`; what documents need in
`repro.report.asked`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from attrs import asdict, field, frozen
from cattrs import Converter
from cattrs.errors import BaseValidationError

from repro import digest
from repro.errors import ClaimError, SpecError
from repro.report import beside, naming
from repro.report.asked import Deviations, Document, Recommendation
from repro.report.beside import Control, Plot, Published
from repro.report.naming import NAME, sentence
from repro.spec import converter, fields, toml
from repro.spec.problems import KeyPath, Mistake, Problem, choice, dotted, shown

SCHEMA = 1
Verdict = Literal["supported", "refuted", "indistinguishable", "unproven", "stale"]


@frozen(kw_only=True)
class Subject:
    """A spec that claims speak about: its file, beside this one, and `a.b=value` set in it."""

    path: str = sentence()
    overrides: tuple[str, ...] = ()


@frozen(kw_only=True)
class _Said:
    """What every claim says: its sentence, the metric, and what is expected of the evidence.

    What others `claimed`, with the numbers that they `published`, what the `controls` show and what
    stays `open` are told beside the verdict. They are no part of it.
    """

    name: str = fields.text(NAME)
    text: str = sentence()
    metric: str = fields.text(NAME)
    expect: Verdict = "supported"
    min_samples: int = field(default=1, validator=fields.at_least(1))
    deviations: tuple[str, ...] = ()
    claimed: str = ""
    published: tuple[Published, ...] = ()
    controls: tuple[Control, ...] = ()
    open: str = ""


BESIDE = ("claimed", "published", "controls", "open")
"""The fields of a claim that its condition does not hold."""


@frozen(kw_only=True)
class Comparison(_Said):
    """The metric of one side is less, or greater, than that of another.

    Every evaluation of the study that is measured in the same way counts as a candidate, so that
    the best of many is not taken for a winner; `among` adds others.

    `scope = "method"` speaks about training again: it needs three training seeds a side,
    written as a sweep of the spec over `train.seed`.
    """

    kind: ClassVar = "comparison"

    left: str = naming.side()
    relation: Literal["less", "greater"]
    right: str = naming.side()
    among: tuple[str, ...] = naming.sides()
    scope: Literal["samples", "method"] = "samples"


@frozen(kw_only=True)
class Extreme(_Said):
    """One side has the smallest, or largest, value of a table.

    The table is every evaluation of the same spec that is measured in the same way on as many
    images; `among` adds others.
    """

    kind: ClassVar = "extreme"

    side: str = naming.side()
    relation: Literal["smallest", "largest"]
    among: tuple[str, ...] = naming.sides()


@frozen(kw_only=True)
class Threshold(_Said):
    """The metric of one side lies below, or above, a number."""

    kind: ClassVar = "threshold"

    side: str = naming.side()
    relation: Literal["below", "above"]
    value: float = field(validator=fields.finite)


Claim = Comparison | Extreme | Threshold


def _known_schema(_: Any, __: Any, value: int) -> None:
    if value != SCHEMA:
        msg = f"expected {SCHEMA}, the schema of this version, got {value!r}"
        raise ValueError(msg)


@frozen(kw_only=True)
class ClaimsFile:
    """Everything that one study claims: nothing, if it only shows what was recorded elsewhere."""

    schema: int = field(validator=_known_schema)
    title: str = sentence()
    notes: str = ""
    specs: Mapping[str, Subject] = field(factory=dict)
    claims: tuple[Claim, ...] = ()
    plots: tuple[Plot, ...] = ()
    documents: tuple[Document, ...] = ()
    deviations: Deviations | None = None
    recommendations: tuple[Recommendation, ...] = ()


def read(path: Path) -> ClaimsFile:
    """The claims of a file.

    Raises:
        ClaimError: with every mistake, each with file, line and path.
    """
    try:
        source = toml.read(path)
        data = toml.parse(source, str(path))
    except SpecError as error:
        raise ClaimError(*error.problems) from error
    try:
        claims = _reader().structure(data, ClaimsFile)
    except (BaseValidationError, Mistake) as error:
        raise _refused(path, source, converter.problems(error)) from error
    if found := list(_disagreements(claims)):
        raise _refused(path, source, found)
    return claims


def condition(claim: Claim) -> dict[str, Any]:
    """A claim as plain data, without its name and sentence, and what stands beside it."""
    apart = ("name", "text", *BESIDE)
    data = {key: value for key, value in asdict(claim).items() if key not in apart}
    return {"kind": claim.kind, **data}


def claim_digest(claim: Claim) -> str:
    """32 hex digits that change when the sentence, its condition or its expectation does."""
    named = {"name": claim.name, "text": claim.text, "condition": condition(claim)}
    return digest.xxh3_128(digest.canonical(named))


def sides(claim: Claim) -> tuple[str, ...]:
    """Every side that a claim names, each once, in order."""
    own = (claim.left, claim.right) if isinstance(claim, Comparison) else (claim.side,)
    among = () if isinstance(claim, Threshold) else claim.among
    return tuple(dict.fromkeys((*own, *among)))


def only_beside(said: ClaimsFile, study: str) -> frozenset[str]:
    """The specs of other studies of which controls and plots alone speak."""
    spoken = (side for claim in said.claims for side in sides(claim))
    chosen = (
        side
        for each in said.recommendations
        for side in (*each.checkpoints, *each.settings, each.confirmed, each.alternate)
        if side
    )
    own = {side.partition(":")[0] for side in (*spoken, *chosen)}
    if said.deviations:
        own |= {said.deviations.published, *said.deviations.ours}
    controls = (control for claim in said.claims for control in claim.controls)
    shown = (side for each in controls for side in (each.side, each.than) if side)
    drawn = (side for plot in said.plots for series in plot.series for side in series.sides)
    named = {side.partition(":")[0] for side in (*shown, *drawn)} - own
    return frozenset(each for each in named if Path(said.specs[each].path).parent.name != study)


def _refused(path: Path, source: str, found: Iterator[Problem] | Sequence[Problem]) -> ClaimError:
    lines = toml.lines(source)
    return ClaimError(*dict.fromkeys(_line(path, problem, lines) for problem in found))


def _line(path: Path, problem: Problem, lines: Mapping[Any, int]) -> str:
    ends = range(len(problem.path), 0, -1)
    known = next((lines[key] for end in ends if (key := problem.path[:end]) in lines), None)
    place = f"{path}:{known}" if known else f"{path}"
    return f"{place}: {dotted(problem.path)}: {problem.message}"


def _disagreements(claims: ClaimsFile) -> Iterator[Problem]:
    counts = Counter(claim.name for claim in claims.claims)
    for index, claim in enumerate(claims.claims):
        path = ("claims", index)
        if counts[claim.name] > 1:
            yield Problem((*path, "name"), f"{claim.name!r} names {counts[claim.name]} claims")
        yield from _unknown_specs(sides(claim), claims, path)
        yield from _inconsistent(claim, path)
        for number, control in enumerate(claim.controls):
            below = (*path, "controls", number)
            named = (each for each in (control.side, control.than) if each)
            yield from _unknown_specs(named, claims, below)
            yield from beside.disagreements(control, below)
    for index, plot in enumerate(claims.plots):
        yield from _unfit(plot, claims, ("plots", index))
    for index, each in enumerate(claims.recommendations):
        chosen = (*each.checkpoints, *each.settings, each.confirmed or "", each.alternate or "")
        yield from _unknown_specs(filter(None, chosen), claims, ("recommendations", index))
    if claims.deviations:
        held = (claims.deviations.published, *claims.deviations.ours)
        yield from _unknown_specs(held, claims, ("deviations",))


def _unfit(plot: Plot, claims: ClaimsFile, path: KeyPath) -> Iterator[Problem]:
    names = [each.name for each in claims.claims]
    if plot.claim and plot.claim not in names:
        yield Problem(
            (*path, "claim"), f"{plot.claim!r}: unknown claim, {choice(plot.claim, names)}"
        )
    for number, series in enumerate(plot.series):
        yield from _unknown_specs(series.sides, claims, (*path, "series", number))


def _unknown_specs(named: Iterable[str], claims: ClaimsFile, path: KeyPath) -> Iterator[Problem]:
    for side in named:
        spec = side.partition(":")[0]
        if spec not in claims.specs:
            yield Problem(path, f"{side!r}: unknown spec, {choice(spec, claims.specs)}")


def _inconsistent(claim: Claim, path: tuple[str | int, ...]) -> Iterator[Problem]:
    if isinstance(claim, Comparison) and claim.left == claim.right:
        yield Problem((*path, "right"), "expected another side than left")
    if not isinstance(claim, Threshold) and claim.among:
        own = (claim.left, claim.right) if isinstance(claim, Comparison) else (claim.side,)
        for side in own:
            if side not in claim.among:
                yield Problem((*path, "among"), f"expected {side!r} to be one of the candidates")


@cache
def _reader() -> Converter:
    reader = converter.make_reader()
    classes = {class_.kind: class_ for class_ in get_args(Claim)}

    def structure_claim(value: Any, _: Any) -> Any:
        if not isinstance(value, dict) or "kind" not in value:
            msg = f"needs a kind, one of: {', '.join(classes)}; got {shown(value)}"
            raise Mistake(msg)
        if value["kind"] not in classes:
            msg = f"unknown kind {shown(value['kind'])}, {choice(value['kind'], classes)}"
            raise Mistake(msg, below=("kind",))
        given = {key: item for key, item in value.items() if key != "kind"}
        return reader.structure(given, classes[value["kind"]])

    def structure_specs(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            msg = f"expected a table, got {shown(value)}"
            raise Mistake(msg)
        return {name: reader.structure(item, Subject) for name, item in value.items()}

    reader.register_structure_hook_func(lambda type_: type_ == Claim, structure_claim)
    reader.register_structure_hook_func(
        lambda type_: type_ == Mapping[str, Subject], structure_specs
    )
    return reader
