"""torchvision can be imported beside a torch that its compiled operators do not match."""

import importlib.util
import subprocess
import sys

from repro.engine import torchvision_import
from repro.engine.torchvision_import import ensure_torchvision_importable

CODE = """
from repro.engine.torchvision_import import ensure_torchvision_importable
print(ensure_torchvision_importable())
import torchvision, torch
try:
    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    print("runs")
except (RuntimeError, NotImplementedError):
    print("no operators")
"""


def test_the_import_works_in_a_fresh_process():
    """Nothing is faked: where operators are missing, calling one still says so."""
    output = subprocess.check_output(
        [sys.executable, "-W", "ignore", "-c", CODE], text=True, stderr=subprocess.STDOUT
    )

    assert output.splitlines() in (
        ["declared: nms, qnms", "no operators"],
        ["compiled operators", "runs"],
    )


def test_it_may_be_called_again():
    """Declaring an operator twice would raise."""
    ensure_torchvision_importable()

    assert ensure_torchvision_importable() == "already done"


def test_without_torchvision_there_is_nothing_to_do(monkeypatch):
    """The import that follows will say what is missing."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torchvision_import, "_declarations", [])
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)

    assert ensure_torchvision_importable() == "absent"


def test_a_folder_without_compiled_operators_has_none(tmp_path):
    """A build without them is treated like one whose operators do not load."""
    (tmp_path / "_C.so").write_bytes(b"not a library")

    assert not torchvision_import._load_operators(tmp_path)
    assert not torchvision_import._load_operators(tmp_path / "empty")
