"""The facts that make an evaluation standard; the engine records them, the gate compares them."""

from typing import Final

POOL3_DIGEST: Final = "sha256:d74e006393608b05822a1674df4a686a44053b0429765843d963dc7a3eb3f5d3"
"""SHA-256 over the 2015-12-05 Inception up to pool3: sorted names, shape, dtype, bytes."""

RESIZE: Final = "tf1-bilinear-299"
"""Bilinear to 299 x 299 as TensorFlow 1 did it: no antialias, corners aligned to the origin."""

PROBE_TOLERANCE: Final = 1e-4
"""Largest absolute feature deviation of an honest float32 evaluator on the four probe images."""

MIN_SAMPLES: Final = 2049
"""Fewer images leave the 2048-dimensional covariance singular: such a value is only screening."""
