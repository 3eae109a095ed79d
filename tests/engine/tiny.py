"""A spec that a CPU trains in a second."""

from pathlib import Path

DENOISE = """
schema = 1
title = "tiny"

[data]
kind = "digits"

[network]
kind = "unet2d"
channels = [8, 8]
attention = [false, false]
layers_per_block = 1
norm_groups = 4

[objective]
kind = "denoise"
batch_size = 8
schedule = { kind = "linear", num_levels = 50, beta_end = 0.2 }

[train]
steps = 12
seed = 1
lr = 1e-3
accumulate = 2
checkpoint_every = 4
"""

DRIFT = """
schema = 1
title = "tiny"

[data]
kind = "digits"

[encoder]
kind = "conv-encoder"
channels = [8, 8]
steps = 4
batch_size = 8

[network]
kind = "conv-generator"
channels = [16, 8]
noise_dim = 8
conditioning_dim = 8

[objective]
kind = "drifting"
features = ["pixels", "encoder"]
num_classes_per_step = 2
num_generated = 4
num_positive = 4
num_unconditional = 2

[train]
steps = 12
seed = 1
lr = 1e-3
checkpoint_every = 4
initial_checkpoint = true
"""

QUEUED = """
schema = 1
title = "tiny"

[data]
kind = "digits"

[network]
kind = "conv-generator"
channels = [16, 8]
noise_dim = 8
conditioning_dim = 8

[objective]
kind = "drifting"
num_classes_per_step = 2
num_generated = 4
num_positive = 6
num_unconditional = 2

[objective.queue]
kind = "banks"
class_size = 8
global_size = 32
pushes_per_step = 5
prefilled = false
underflow = "with-replacement"

[train]
steps = 12
seed = 1
lr = 1e-3
checkpoint_every = 4
"""


def write(folder: Path, text: str = DENOISE) -> Path:
    """The spec as a file in *folder*."""
    path = folder / "tiny.toml"
    path.write_text(text, encoding="utf-8")
    return path
