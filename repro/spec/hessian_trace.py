"""The probe of a loss's curvature."""

from typing import Literal

Vectors = Literal["rademacher", "gaussian"]
