"""Claims files are read strictly, and every mistake in one is named at once."""

from pathlib import Path

import pytest
from attrs import evolve

from repro.errors import ClaimError
from repro.report import claims
from repro.report.claims import Comparison, Extreme, Subject, Threshold

INVALID = sorted((Path(__file__).parent / "data" / "invalid").glob("*.toml"))
QUICKSTART = Path(__file__).parents[2] / "reports" / "quickstart" / "claims.toml"

VALID = """
schema = 1
title = "Toys"

[specs.a]
path = "../../specs/toy/a.toml"
overrides = ["train.seed=7"]

[[claims]]
kind = "comparison"
name = "better"
text = "One is better than two."
metric = "fid"
left = "a:one@300"
relation = "less"
right = "a:two"
among = ["a:one@300", "a:two", "a:three"]
scope = "method"
min_samples = 10000

[[claims]]
kind = "extreme"
name = "largest"
text = "One is the largest."
metric = "kid"
side = "a:one"
relation = "largest"
expect = "refuted"

[[claims]]
kind = "threshold"
name = "low"
text = "One is below three."
metric = "fid"
side = "a:one"
relation = "below"
value = 3
deviations = ["allow_biased"]
"""


def test_a_claims_file_becomes_values(tmp_path: Path):
    """Every field has its place, and what is left out its default."""
    path = tmp_path / "claims.toml"
    path.write_text(VALID, encoding="utf-8")

    read = claims.read(path)

    assert read.specs == {"a": Subject(path="../../specs/toy/a.toml", overrides=("train.seed=7",))}
    assert read.claims == (
        Comparison(
            name="better",
            text="One is better than two.",
            metric="fid",
            left="a:one@300",
            relation="less",
            right="a:two",
            among=("a:one@300", "a:two", "a:three"),
            scope="method",
            min_samples=10_000,
        ),
        Extreme(
            name="largest",
            text="One is the largest.",
            metric="kid",
            side="a:one",
            relation="largest",
            expect="refuted",
        ),
        Threshold(
            name="low",
            text="One is below three.",
            metric="fid",
            side="a:one",
            relation="below",
            value=3.0,
            deviations=("allow_biased",),
        ),
    )


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_every_mistake_is_named_with_its_line(path: Path):
    """Beside each broken file lies the message that it gives."""
    with pytest.raises(ClaimError) as caught:
        claims.read(path)

    said = str(caught.value).replace(f"{path.parent}/", "")
    assert said == path.with_suffix(".error").read_text(encoding="utf-8").rstrip("\n")


def test_the_quickstart_claims_are_valid():
    """The shipped file can be read, and tells the five stories that it is there for."""
    read = claims.read(QUICKSTART)

    assert {claim.name: claim.expect for claim in read.claims} == {
        "training-helps": "supported",
        "better-than-noise": "supported",
        "yardstick": "supported",
        "better-default-alpha": "indistinguishable",
        "nearly-perfect": "unproven",
    }


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"text": "Other."}, {"value": 4.0}, {"expect": "refuted"}]
)
def test_any_change_makes_another_claim(change: dict[str, object]):
    """A claim's digest holds its sentence, its condition and what it expects."""
    claim = Threshold(
        name="low", text="Low.", metric="fid", side="a:one", relation="below", value=3.0
    )

    assert claims.claim_digest(evolve(claim, **change)) != claims.claim_digest(claim)  # type: ignore[arg-type]
