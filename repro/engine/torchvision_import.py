"""Make `import torchvision` work beside a torch build that its compiled operators do not match.

The package index offers one torchvision wheel for Linux on x86, built for CUDA. Beside a CPU build
of torch its operator library does not load, and the import fails: it registers shape functions for
two operators that nothing has declared. Declaring those two is enough; they stay without an
implementation, so `torchvision.ops.nms` still says that the compiled operators are missing.
Upstream: pytorch/vision 9085 and 9087.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Final

OPERATORS: Final = ("nms", "qnms")

_declarations: list[object] = []  # a torch.library.Library withdraws its operators when collected


def ensure_torchvision_importable() -> str:
    """Declare what the import needs, if anything; say what was done. Safe to call again."""
    import torch

    if "torchvision" in sys.modules or _declarations:
        return "already done"
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return "absent"
    if _load_operators(Path(spec.submodule_search_locations[0])):
        return "compiled operators"
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in OPERATORS:
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    _declarations.append(library)
    return f"declared: {', '.join(OPERATORS)}"


def _load_operators(folder: Path) -> bool:
    import torch

    for file in folder.glob("_C*.so"):
        try:
            torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
        except OSError:  # built for another torch
            return False
        return True
    return False
