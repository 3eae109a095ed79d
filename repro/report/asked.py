"""What a claims file asks for besides claims: documents, and what they need to be told.

    documents = ["recommendation", "deviations", "rubric"]

    [deviations]
    published = "table8-ablation"
    ours = ["step400"]

    [[recommendations]]
    name = "step-400"
    title = "The checkpoint and guidance scale of step 400"
    primary = "fid"
    secondary = "isc"
    checkpoints = ["step400:last-k@*"]
    settings = ["step400:alpha-*"]
    confirmed = "step400:default"
    alternate = "step400:alternate"

`rubric` reads `rubric.toml` beside the claims: stages with weights, and a query for each criterion.
"""

from typing import Literal

from attrs import field, frozen

from repro.report.beside import Published
from repro.report.naming import NAME, a_side_or_none, sentence, some_sides
from repro.spec import fields

Document = Literal[
    "recommendation",
    "matrix",
    "deviations",
    "rubric",
    "status",
    "artifacts",
    "runbook",
    "review",
]


@frozen(kw_only=True)
class Deviations:
    """Which specs are held, field by field, against the one that is as published."""

    published: str = fields.text(NAME)
    ours: tuple[str, ...] = field(validator=[fields.not_empty, fields.each(fields.matching(NAME))])


@frozen(kw_only=True)
class Recommendation:
    """A choice of a checkpoint, and of a setting of the sampler, that the numbers make.

    Candidates that cannot be told from the best are equal; of these the first in the order of
    `checkpoints` and `settings` is recommended, by the `primary` metric, and the alternate by the
    `secondary`. `confirmed` and `alternate` measure what others recommended on fresh images.
    """

    name: str = fields.text(NAME)
    title: str = sentence()
    primary: str = sentence()
    secondary: str = ""
    checkpoints: tuple[str, ...] = field(default=(), validator=fields.each(some_sides))
    settings: tuple[str, ...] = field(default=(), validator=fields.each(some_sides))
    confirmed: str | None = field(default=None, validator=a_side_or_none)
    alternate: str | None = field(default=None, validator=a_side_or_none)
    published: tuple[Published, ...] = ()
