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

EXACT: Final = ("stored", "round-half-even")
"""Ways in which 8-bit images come about that lose nothing but the rounding itself."""

CODE: Final = {
    "torch-fidelity": "0.4.0",
    "feature_extractor_inceptionv3.py": (
        "sha256:41308fd162a3571d8bf052e2dbf7b25f946daa5a74a591d1b85b76ca7ba0262f"
    ),
    "interpolate_compat_tensorflow.py": (
        "sha256:e90a965f0c4f6e13b9d216308ba34f8162296bf4a440d82988f453a935ccee11"
    ),
}
"""The code that defines the network and the resize: version, and SHA-256 of both files."""
