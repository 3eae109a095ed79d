"""The known answers, the slow ones included."""

from pathlib import Path

import pytest

from repro.engine.evaluation import selftest as module
from repro.engine.evaluation.selftest import selftest
from repro.engine.progress import Silent


def test_shipped_statistics_hold_together():
    """Their mean is that of their own features, within sampling error."""
    (check,) = module._shipped()

    assert check["passed"]


def test_a_check_says_what_was_expected_and_found():
    """A failed one is data, not an exception."""
    assert module._check(name="x", expected=1.0, found=1.2, tolerance=0.1) == {
        "name": "x",
        "passed": False,
        "expected": 1.0,
        "found": 1.2,
        "tolerance": 0.1,
    }


@pytest.mark.slow
def test_known_answers_come_out():
    """FID 10.3233274 and KID of the CIFAR-10 subsets; probe, identities and torch-fidelity."""
    checks = selftest(
        full=True, cache=Path.home() / ".cache" / "repro", device="cpu", progress=Silent()
    )

    assert [each["name"] for each in checks if not each["passed"]] == []
