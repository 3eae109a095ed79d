"""Records become JSON and come back."""

import json
import math

import pytest
from attrs import fields

from repro.ledger import records
from repro.ledger.records import KINDS, Artifact, Measurement, Progress, Seal
from tests.ledger.ledgers import TRAIN, measurement, start


@pytest.mark.parametrize(
    "record",
    [
        start(),
        Progress(stage_id=TRAIN, steps=[3, 4], values={"loss": [0.5, 1], "huge": [math.inf, -0.0]}),
        Progress(stage_id=TRAIN, steps=[3], values={"Größe": [0.5]}),
        measurement(),
        Measurement(
            stage_id=TRAIN,
            evaluation="e",
            metric="kid",
            value=None,
            num_samples=1,
            protocol_id="p",
            samples="s",
        ),
        Seal(outcome="failed", error="it broke", num_records=3, merkle_root="sha256:00"),
    ],
    ids=lambda record: record.kind,
)
def test_round_trip(record):
    """What is decoded equals what was encoded."""
    data = json.loads(records.encode(record))

    assert records.decode(record.kind, data) == record


def test_nan_is_kept():
    """A value that is not a number is recorded as such, in valid JSON."""
    data = json.loads(records.encode(measurement(math.nan, facts={"list": [math.nan]})))
    decoded = records.decode("measurement", data)

    assert data["value"] == "nan"
    assert data["facts"] == {"list": ["nan"]}
    assert isinstance(decoded, Measurement)
    assert math.isnan(decoded.value or 0.0)


def test_unknown_kind_is_no_error():
    """A kind that only a newer version knows is passed over."""
    assert records.decode("hologram", {}) is None


def test_unknown_field_is_no_error():
    """A field that only a newer version knows is passed over."""
    data = json.loads(records.encode(measurement())) | {"aura": "blue"}

    assert records.decode("measurement", data) == measurement()


@pytest.mark.parametrize("data", [{}, {"stage_id": TRAIN, "step": 1, "values": {"a": "much"}}])
def test_impossible_record_is_an_error(data):
    """A record without its fields, or with a word for a number, is refused."""
    with pytest.raises(ValueError, match="not a progress record"):
        records.decode("progress", data)


def test_one_moment_is_a_short_curve():
    """Progress as segments of format 1 hold it, a step and its values, is read."""
    data = {"stage_id": TRAIN, "step": 3, "values": {"loss": 0.5, "huge": "inf"}}

    expected = Progress(stage_id=TRAIN, steps=[3], values={"loss": [0.5], "huge": [math.inf]})
    assert records.decode("progress", data) == expected


def test_a_curve_has_a_number_a_step():
    """Progress that lacks a number, or has one too many, is no record."""
    with pytest.raises(ValueError, match=r"one a step, found \{'loss': 1\}"):
        Progress(stage_id=TRAIN, steps=[3, 4], values={"loss": [0.5]})


def test_every_kind_is_listed():
    """The table of kinds holds every record class under its own kind."""
    assert {each.kind: each for each in KINDS.values()} == dict(KINDS)
    assert "sha256" in {each.name for each in fields(Artifact)}
