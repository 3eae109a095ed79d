"""The line that torch may not cross."""

import subprocess
import sys

import pytest

LIGHT = [
    "repro",
    "repro.cli",
    "repro.digest",
    "repro.engine",
    "repro.engine.plan",
    "repro.engine.resources",
    "repro.engine.run",
    "repro.errors",
    "repro.ledger",
    "repro.metrics.frechet",
    "repro.report",
    "repro.spec",
    "repro.terminal",
]
HEAVY = {"torch", "duckdb", "matplotlib", "diffusers"}


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_load_nothing_heavy(module: str) -> None:
    """A module outside the computing part of the engine never loads torch or duckdb on import."""
    code = f"import sys, {module}; print(*({HEAVY!r} & set(sys.modules)))"

    output = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert output.strip() == ""
