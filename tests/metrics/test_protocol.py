"""What decides which measurements may stand in one column."""

from typing import Any

import pytest

from repro.errors import IntegrityError
from repro.metrics.protocol import protocol_facts, protocol_id

FACTS: dict[str, Any] = {
    "extractor": {
        "name": "inception-v3-compat",
        "weights": "standard",
        "weights_digest": "sha256:0",
        "code": {},
        "dtype": "float32",
        "device": "cpu",
        "tf32": False,
        "autocast": False,
        "backend": "torch",
        "layer": "2048",
    },
    "probe": {"before": 4e-6, "after": 4e-6, "tolerance": 1e-4},
    "resize": "tf1-bilinear-299",
    "images": {
        "sizes": [[32, 32]],
        "channels": 3,
        "lossless": True,
        "quantisation": "stored",
        "set_digest": "sha256:1",
    },
    "reference": {"digest": "sha256:2"},
    "formula": {"ddof": 1, "rank": 2048, "extrapolated": 3.0},
}


def named(metric: str = "fid", **changes: Any) -> str:
    facts = {
        name: {**value, **changes.get(name, {})} if isinstance(value, dict) else value
        for name, value in FACTS.items()
    }
    return protocol_id(protocol_facts(metric, num_samples=2049, facts=facts))


@pytest.mark.parametrize(
    "changes",
    [
        {"images": {"set_digest": "sha256:3"}},
        {"images": {"quantisation": "round-half-even"}},
        {"formula": {"extrapolated": -1.0, "rank": 7}},
        {"extractor": {"device": "cuda", "backend": "onnxruntime"}},
        {"probe": {"after": 5e-5}},
    ],
)
def test_the_set_and_its_result_are_no_part_of_a_protocol(changes):
    """Real and generated images on any honest machine stand in one column."""
    assert named(**changes) == named()


@pytest.mark.parametrize(
    "changes",
    [
        {"images": {"sizes": [[64, 64]]}},
        {"images": {"lossless": False}},
        {"formula": {"ddof": 0}},
        {"extractor": {"code": {"torch-fidelity": "9"}}},
        {"probe": {"after": 2e-4}},
        {"probe": {"after": None}},
        {"reference": {"digest": "sha256:4"}},
    ],
)
def test_what_moves_numbers_is_part_of_it(changes):
    """Such values never stand in one column."""
    assert named(**changes) != named()


def test_resize_quantisation_and_number_are_part_of_it():
    """Sets of another size, resized by another rule, or truncated to bytes stand elsewhere."""
    found = [
        protocol_id(protocol_facts("fid", num_samples=num, facts={**FACTS, "resize": resize}))
        for num in (2049, 50_000)
        for resize in ("tf1-bilinear-299", "bilinear-299")
    ]

    assert len({*found, named(images={"quantisation": "truncate"})}) == 5


def test_missing_facts_name_no_protocol():
    """The refusal says which is missing."""
    facts = {name: value for name, value in FACTS.items() if name != "resize"}

    with pytest.raises(IntegrityError, match="KeyError\\('resize'\\)"):
        protocol_facts("fid", num_samples=2049, facts=facts)
