"""Products in half precision, everything else in float32."""

import torch
from torch import Tensor

from repro.spec.network import Precision


def rounded(x: Tensor, precision: Precision) -> torch.autocast:
    """Where *x* lies, matrix products and convolutions take and give numbers of *precision*."""
    return torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16")
