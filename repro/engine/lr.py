"""The learning rate of every update."""

import math

from repro.spec.train import ConstantLr, CosineLr, ImageRampLr, Train


def learning_rate(spec: Train, *, step: int, num_images: int = 0) -> float:
    """The rate of update number *step*, the first being 0.

    The warm-up ends on the peak with its last update, and half a cosine ends on its final value
    with the last update of all. Both are counted in optimizer updates, never in micro-batches. A
    ramp over images counts those before the update, *num_images* in each.
    """
    schedule = spec.lr_schedule
    if isinstance(schedule, ImageRampLr):
        return spec.lr * min(step * num_images / schedule.images, 1.0)
    if step < schedule.warmup_steps:
        return spec.lr * (step + 1) / schedule.warmup_steps
    match schedule:
        case ConstantLr():
            return spec.lr
        case CosineLr(final_ratio=final, warmup_steps=warmup_steps):
            progress = (step + 1 - warmup_steps) / (spec.steps - warmup_steps)
            return spec.lr * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)
