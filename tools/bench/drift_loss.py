"""Seconds and memory of the drift loss, forward and backward, over the official features.

    python tools/bench/drift_loss.py [--classes 16] [--width 64] [--rounds 3] [--device cpu]

The 86 keys of a latent model at 32 x 32 with an encoder of the given width, N = P = 64, U = 16,
three temperatures; float32, on a CPU one thread and its seconds, on a GPU those of the clock. Keys
of one shape are measured once and counted as often as they occur, the implementations in turn on
the same inputs, the best of the rounds. Memory is the highest resident set of one key (on a GPU:
what torch allocated) beyond its features, which are there before; gradients count. `--write` keeps
it in RESULTS.md.

- streamed: `repro.engine.drift.drift_loss`
- fused: the same with chunks fused by torch.compile; on a GPU, where a training may choose it
- batched: as the public ports have it (`batched_drift.py`)
- reference: `repro.engine.drift.reference` in float64 and autograd, row by row, on a few rows of
  each key: its time is that of a row times the rows

The floor is what is left when everything between features and gradient stays in a cache: features
read twice (statistics are of the whole batch), the gradient written once, at the speed of a copy;
or the products of distances and of three drifts at the speed of a large matrix product. Both
speeds are measured here, on the same device.
"""

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from attrs import frozen
from batched_drift import batched_drift_loss
from results import table, write_section
from torch import Tensor

from repro.engine.drift import drift_loss, kernels
from repro.engine.drift.affinity import drift_at
from repro.engine.drift.reference import reference_drift
from repro.spec.objective import DriftField

HEADING = "Drift loss (`drift_loss.py`)"
NUM_GENERATED, NUM_POSITIVE, NUM_UNCONDITIONAL = 64, 64, 16
WEIGHT = 3.9375  # of an unconditional negative, for alpha = 2
MAPS = ((32, 1, 3), (16, 2, 3), (8, 4, 4), (4, 8, 2))
"""Side, multiple of the width, and number of the encoder's maps."""
ROWS_OF_THE_REFERENCE = 16
NOTE = """\
Memory is that of the worst key: one buffer a temperature, of which one is the gradient. Batched
keeps nothing of other keys here; the ports keep the graph of all. CUDA runs the same code in larger
chunks, call by call or fused by torch.compile, whichever a training's first update measures to be
faster; `--device cuda` shows both. No GPU was there to measure on yet."""

Shape = tuple[int, int]
Loss = Callable[[Tensor, Tensor], Tensor]


@frozen(kw_only=True)
class Cost:
    """CPU seconds and bytes of one key."""

    seconds: float
    size_bytes: int


def main() -> None:
    """Print, and with --write keep, what each implementation costs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--classes", type=int, default=16)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="replace the section of RESULTS.md")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_device(given.device)
    shapes = official_shapes(given.width)
    costs = {
        shape: costs_of(shape, num_classes=given.classes, rounds=given.rounds) for shape in shapes
    }
    text = report(shapes, costs, num_classes=given.classes, width=given.width)
    print(text)
    if given.write:
        write_section(HEADING if given.device == "cpu" else f"{HEADING} on a GPU", text)


def official_shapes(width: int) -> Counter[Shape]:
    """How many keys of a latent model have so many locations and channels."""
    shapes = Counter({(1, 4096): 1, (1, 4): 1})
    for side, multiple, num_maps in MAPS:
        channels = multiple * width
        shapes[side * side, channels] += num_maps
        shapes[1, channels] += 2 * num_maps
        for patch in (2, 4):
            shapes[(side // patch) ** 2, channels] += 2 * num_maps
    return shapes


def costs_of(shape: Shape, *, num_classes: int, rounds: int) -> dict[str, Cost]:
    """What the key of this shape costs each implementation."""
    generated, reals = features(shape, num_classes=num_classes)
    few = min(shape[0], max(1, ROWS_OF_THE_REFERENCE // num_classes))
    parts: dict[str, tuple[Loss, Tensor, Tensor, float]] = {
        "streamed": (streamed, generated, reals, 1.0),
        "batched": (batched, generated, reals, 1.0),
        "reference": (reference, generated[:, :, :few], reals[:, :, :few], shape[0] / few),
    }
    if on_gpu():
        parts["fused"] = (partial(streamed, move=kernels.fused()), generated, reals, 1.0)
        measured(*parts["fused"][:3])  # compiles
    found: dict[str, list[Cost]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, (loss, x, targets, times) in parts.items():
            cost = measured(loss, x, targets)
            found[name].append(Cost(seconds=times * cost.seconds, size_bytes=cost.size_bytes))
    return {
        name: Cost(
            seconds=min(each.seconds for each in several),
            size_bytes=min(each.size_bytes for each in several),
        )
        for name, several in found.items()
    }


def features(shape: Shape, *, num_classes: int) -> tuple[Tensor, Tensor]:
    """Vectors [classes, N, L, C] and [classes, P + U, L, C], as an encoder leaves them."""
    generator = torch.Generator(torch.get_default_device()).manual_seed(0)
    generated = torch.randn((num_classes, NUM_GENERATED, *shape), generator=generator)
    reals = torch.randn(
        (num_classes, NUM_POSITIVE + NUM_UNCONDITIONAL, *shape), generator=generator
    )
    return generated, reals


def measured(loss: Loss, generated: Tensor, reals: Tensor) -> Cost:
    """One forward and backward pass; the gradient is there at the end."""
    x = generated.detach().requires_grad_()
    before = resident()
    started = now()
    loss(x, reals).backward()  # type: ignore[no-untyped-call]
    seconds = now() - started
    return Cost(seconds=seconds, size_bytes=highest_resident() - before)


def on_gpu() -> bool:
    return torch.get_default_device().type != "cpu"


def now() -> float:
    """Seconds of this process; on a GPU those of the clock, when it is done."""
    if not on_gpu():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def fastest(run: Callable[[], object]) -> float:
    """The fewest seconds of five."""
    seconds = []
    for _ in range(5):
        started = now()
        run()
        seconds.append(now() - started)
    return min(seconds)


def bytes_a_second() -> float:
    """Of a copy, what is read and what is written."""
    source = torch.ones(2**26)
    target = torch.empty_like(source)
    return 2 * 4 * len(source) / fastest(lambda: target.copy_(source))


def products_a_second() -> float:
    """Multiplications and additions of a large matrix product in float32."""
    square = torch.ones((2048, 2048))
    out = torch.empty_like(square)
    return 2 * 2048**3 / fastest(lambda: torch.mm(square, square, out=out))


def streamed(x: Tensor, reals: Tensor, *, move: kernels.Move = drift_at) -> Tensor:
    reals = reals.transpose(1, 2)
    loss, _ = drift_loss(
        x.transpose(1, 2),
        reals[:, :, :NUM_POSITIVE],
        reals[:, :, NUM_POSITIVE:],
        field=DriftField(),
        weights=torch.full((len(x), NUM_UNCONDITIONAL), WEIGHT),
        move=move,
    )
    return loss


def batched(x: Tensor, reals: Tensor) -> Tensor:
    rows = reals.transpose(1, 2).flatten(0, 1)
    return batched_drift_loss(
        x.transpose(1, 2).flatten(0, 1),
        rows[:, :NUM_POSITIVE],
        rows[:, NUM_POSITIVE:],
        weight=WEIGHT,
    )


def reference(x: Tensor, reals: Tensor) -> Tensor:
    losses = []
    for vectors, targets in zip(
        x.transpose(1, 2).flatten(0, 1), reals.transpose(1, 2).flatten(0, 1), strict=True
    ):
        row = vectors[None, None].double()
        drift = reference_drift(
            row,
            targets[None, None, :NUM_POSITIVE],
            targets[None, None, NUM_POSITIVE:],
            field=DriftField(),
            repel_each_other=True,
            weights=torch.full((1, NUM_UNCONDITIONAL), WEIGHT),
        )
        scaled = row / drift.statistics.unit
        losses.append((scaled - (scaled + drift.field).detach()).square().mean())
    return torch.stack(losses).mean()


def resident() -> int:
    """The bytes resident now, from which the highest count starts again."""
    if on_gpu():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return _status("VmRSS")


def highest_resident() -> int:
    return torch.cuda.max_memory_allocated() if on_gpu() else _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (each for each in lines if each.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def report(
    shapes: Counter[Shape],
    costs: dict[Shape, dict[str, Cost]],
    *,
    num_classes: int,
    width: int,
) -> str:
    totals = {
        name: sum(times * costs[shape][name].seconds for shape, times in shapes.items())
        for name in next(iter(costs.values()))
    }
    peaks = {name: max(each[name].size_bytes for each in costs.values()) for name in totals}
    rows = num_classes * sum(locations * times for (locations, _), times in shapes.items())
    per_image = sum(math.prod(shape) * times for shape, times in shapes.items())
    images = num_classes * (NUM_GENERATED + NUM_POSITIVE + NUM_UNCONDITIONAL)
    lines = [
        (
            name,
            f"{seconds:.1f}",
            f"{seconds / rows * 1e6:.0f}",
            f"{totals['batched'] / seconds:.2f}",
            "not comparable" if name == "reference" else f"{peaks[name] / 2**20:,.0f}",
        )
        for name, seconds in totals.items()
    ]
    seconds_of = "s" if on_gpu() else "CPU s"
    columns = ("implementation", seconds_of, "µs a row", "times batched", "MiB beyond one key")
    by_key = [
        (
            f"{locations:,} x {channels:,}",
            str(shapes[locations, channels]),
            *(f"{1e3 * cost[name].seconds:,.0f}" for name in ("streamed", "batched")),
            f"{cost['batched'].seconds / cost['streamed'].seconds:.2f}",
            *(f"{cost[name].size_bytes / 2**20:,.0f}" for name in ("streamed", "batched")),
        )
        for (locations, channels), cost in costs.items()
        if locations * channels >= 4096
    ]
    key_columns = ("key, L x C", "keys", "streamed ms", "batched ms", "times", "MiB", "MiB batched")
    return (
        f"{num_classes} classes, N = P = 64, U = 16, three temperatures, the official latent keys "
        f"at a width of {width}:\n{sum(shapes.values())} keys, {rows:,} rows, "
        f"{4 * images * per_image / 2**30:.1f} GiB of features, float32, {where()}, torch "
        f"{torch.__version__}.\n\n{table(columns, lines)}\n\n{table(key_columns, by_key)}\n\n{NOTE}"
        f"\n\n{floor(num_classes * per_image, times=totals['streamed'])}"
    )


def where() -> str:
    return torch.cuda.get_device_name() if on_gpu() else "one thread"


def floor(per_sample: int, *, times: float) -> str:
    """The floor of keys of so many floats a sample of every class, and how far the loss is off."""
    num_targets = NUM_GENERATED + NUM_POSITIVE + NUM_UNCONDITIONAL
    moved = 4 * per_sample * (2 * num_targets + NUM_GENERATED)
    multiplied = 2 * (1 + 3) * NUM_GENERATED * num_targets * per_sample
    speeds = bytes_a_second(), products_a_second()
    seconds = moved / speeds[0], multiplied / speeds[1]
    return (
        f"The floor: {moved / 1e9:.0f} GB at {speeds[0] / 1e9:.0f} GB/s take {seconds[0]:.2g} s, "
        f"{multiplied / 1e12:.2f} TFLOP at {speeds[1] / 1e9:,.0f} GFLOP/s {seconds[1]:.2g} s. "
        f"Streamed takes {times / max(seconds):.1f} times the longer of the two."
    )


if __name__ == "__main__":
    main()
