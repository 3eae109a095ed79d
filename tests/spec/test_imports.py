"""What a plan or a validated spec costs at start-up."""

import subprocess
import sys

HEAVY = ("torch", "numpy", "duckdb", "diffusers", "importlib.metadata")


def test_specs_import_nothing_heavy():
    """A spec is read, named and planned without torch, numpy or duckdb."""
    code = f"import sys, repro.spec; print([name for name in {HEAVY} if name in sys.modules])"

    output = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert output == "[]\n"
