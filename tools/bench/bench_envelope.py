"""What a training step of the five published configurations costs: time, images a second, memory.

Run `python tools/bench/bench_envelope.py [--write] [--device cuda]`. It reads the specs of Table 8
(`specs/imagenet/table8-*.toml`) and runs their training loop on random data of the right shape,
with encoders of random weights: what is computed is theirs, what is learned is not. Each
configuration has a process of its own, which tells its own peak: on a GPU what torch allocated
there, on a CPU the largest resident set.

A published step needs a cluster. `--batch proxy` (the default on a GPU) has 4 classes of 4 samples,
4 positives and 2 unconditional reals, as the study of ImageNet latents measured its envelope;
`least` (the default on a CPU) one class of 2, 1 and 1. Generators are whole. An encoder that is
wider than `--encoder-width` (the default on a CPU: 80), or would not fit into `--memory-gib` beside
its generator, is halved in width until neither is so, and the table says so; a generator that does
not fit is not run, and the table says that. Seconds are those of the clock on a GPU; on a CPU those
of all threads, which other programs do not lengthen.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import evolve, frozen
from results import table, write_section
from torch import nn
from torch._subclasses import FakeTensorMode

from repro.engine.datasets import EncodedImages, Images
from repro.engine.features.encoder import MapFeatures, SeveralFeatures
from repro.engine.networks.dit import dit
from repro.engine.networks.mae import MaeEncoder
from repro.engine.objectives.drifting import drifting
from repro.engine.train import train
from repro.spec import Spec, load
from repro.spec.encoder import PretrainedEncoder, singles
from repro.spec.fields import MAX_WIDTH
from repro.spec.layout import holds_latents, layout
from repro.spec.network import Dit, Mae
from repro.spec.objective import Drifting

SPECS = Path(__file__).parents[2] / "specs" / "imagenet"
NAMES = ("table8-ablation", "table8-b2", "table8-l2", "table8-b16", "table8-l16")
BATCHES: Mapping[str, Mapping[str, Any]] = {
    "published": {},
    "proxy": {
        "num_classes_per_step": 4,
        "num_generated": 4,
        "num_positive": 4,
        "num_unconditional": 2,
    },
    "least": {
        "num_classes_per_step": 1,
        "num_generated": 2,
        "num_positive": 1,
        "num_unconditional": 1,
    },
}
NUM_IMAGES, NUM_CLASSES = 256, 128
COPIES = 5
"""Of a generator's parameters: weights, gradients, two moments, the average."""
FLOAT, GIB = 4, 2**30
SEED = 0


@frozen(kw_only=True)
class Scaled:
    """A configuration as it is run here, and the widths of its encoders as published."""

    spec: Spec
    network: Dit
    objective: Drifting
    encoders: tuple[tuple[PretrainedEncoder, Mae], ...]
    left_out: tuple[str, ...]
    size_bytes: int

    @property
    def num_samples(self) -> int:
        return self.objective.num_classes_per_step * self.objective.num_generated


def main() -> int:
    """Print the table, or with `--one` measure one configuration and print it as JSON."""
    options = argparse.ArgumentParser()
    options.add_argument("--device", default="cpu")
    options.add_argument("--batch", choices=list(BATCHES))
    options.add_argument("--steps", type=int, help="measured, after one that is not")
    options.add_argument("--memory-gib", type=float, help="default: half of what is there")
    options.add_argument("--encoder-width", type=int, help="of the widest encoder that is run")
    options.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    options.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = options.parse_args()
    on_cpu = given.device == "cpu"
    given.batch = given.batch or ("least" if on_cpu else "proxy")
    given.steps = given.steps or (2 if on_cpu else 8)
    given.memory_gib = given.memory_gib or memory(given.device) / 2 / GIB
    given.encoder_width = given.encoder_width or (80 if on_cpu else MAX_WIDTH)
    if given.one:
        print(json.dumps(measured(given)))
        return 0
    rows = [row(name, in_own_process(name, given)) for name in NAMES]
    columns = ["configuration", "parameters", "samples a step (published)"]
    columns += ["encoder width (published)", "s/step", "images/s", "peak GiB"]
    text = table(columns, rows)
    print(text)
    if given.write:
        write_section("Launch envelope (`bench_envelope.py`)", f"{conditions(given)}\n\n{text}")
    return 0


def conditions(given: argparse.Namespace) -> str:
    """Under which the numbers hold; one paragraph."""
    where = f"CPU seconds, threads: {torch.get_num_threads()}"
    if given.device != "cpu":
        where = torch.cuda.get_device_name(given.device)
    cut = f"all fits {given.memory_gib:.0f} GiB"
    if given.encoder_width < MAX_WIDTH:
        cut += f" and none is wider than {given.encoder_width}"
    return (
        f"{where}; the median of {given.steps} steps after the first; random data, encoders of"
        f" random weights, batch `{given.batch}`; encoders halved in width until {cut}. B/16 and"
        " L/16 are without ConvNeXt V2, whose weights are a download."
    )


def in_own_process(name: str, given: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", name, "--device", given.device]
    command += ["--batch", given.batch, "--steps", str(given.steps)]
    command += ["--memory-gib", str(given.memory_gib)]
    command += ["--encoder-width", str(given.encoder_width)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(name: str, found: Mapping[str, Any]) -> list[str]:
    first = [name.removeprefix("table8-"), f"{found['parameters']:,}"]
    published = f"({found['published_samples']:,})", f"({found['published_width']})"
    if found["step_s"] is None:
        return [*first, *published, f"not run: needs {found['needed_gib']:.1f} GiB", "", ""]
    return [
        *first,
        f"{found['num_samples']} {published[0]}",
        f"{found['width']} {published[1]}",
        f"{found['step_s']:.3g}",
        f"{found['num_samples'] / found['step_s']:.3g}",
        f"{found['peak_gib']:.1f}",
    ]


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """The facts of one configuration."""
    (spec,) = load(SPECS / f"{given.one}.toml")
    assert isinstance(spec.objective, Drifting)
    scaled = scale(
        spec, BATCHES[given.batch], budget=given.memory_gib * GIB, widest=given.encoder_width
    )
    published = spec.objective.num_classes_per_step * spec.objective.num_generated
    widths = [mae_of(each).width for _, _, each in singles(spec.encoder) if is_pretrained(each)]
    found = {
        "parameters": num_parameters(scaled.network, shape_of(spec)),
        "num_samples": scaled.num_samples,
        "published_samples": published,
        "width": ", ".join(str(mae.width) for _, mae in scaled.encoders),
        "published_width": ", ".join(str(each) for each in widths),
        "needed_gib": scaled.size_bytes / GIB,
        "step_s": None,
        "peak_gib": None,
    }
    if scaled.size_bytes <= given.memory_gib * GIB:
        found |= run(scaled, device=given.device, steps=given.steps)
    return found


def is_pretrained(encoder: Any) -> bool:
    return isinstance(encoder, PretrainedEncoder)


def mae_of(encoder: Any) -> Mae:
    """The network that trained an encoder."""
    network = encoder.run.network
    assert isinstance(network, Mae)
    return network


def scale(spec: Spec, batch: Mapping[str, Any], *, budget: float, widest: int) -> Scaled:
    """The configuration with another batch, and encoders that leave room."""
    assert isinstance(spec.network, Dit)
    assert isinstance(spec.objective, Drifting)
    shape = shape_of(spec)
    generator = COPIES * FLOAT * num_parameters(spec.network, shape)
    encoders, size_bytes, left_out = [], generator, []
    for _, name, each in singles(spec.encoder):
        if not isinstance(each, PretrainedEncoder):
            left_out.append(name)
            continue
        mae = mae_of(each)
        while mae.width > widest:
            mae = evolve(mae, width=mae.width // 2)
        while generator + (needed := FLOAT * num_parameters(mae, shape)) > budget and mae.width > 1:
            mae = evolve(mae, width=mae.width // 2)
        encoders.append((each, mae))
        size_bytes += needed
    return Scaled(
        spec=spec,
        network=spec.network,
        objective=evolve(spec.objective, **batch),
        encoders=tuple(encoders),
        left_out=tuple(left_out),
        size_bytes=size_bytes,
    )


def run(scaled: Scaled, *, device: str, steps: int) -> dict[str, float]:
    """Seconds a step, and the peak until the last."""
    torch.manual_seed(SEED)
    shape = shape_of(scaled.spec)
    with torch.device(device):
        network = dit(scaled.network, shape)
        found = {
            f"{index}": MapFeatures(MaeEncoder(mae, shape[0]), each.features, norm_x=each.norm_x)
            for index, (each, mae) in enumerate(scaled.encoders)
        }
    objective = drifting(
        scaled.objective,
        data=random_data(scaled.spec),
        network_spec=scaled.network,
        encoder=SeveralFeatures(found) if len(found) > 1 else next(iter(found.values())),
    )
    clock = time.process_time if device == "cpu" else time.perf_counter
    ends = [clock()]
    peaks = []

    def on_progress(_: int, __: Mapping[str, float]) -> None:
        if device != "cpu":
            torch.cuda.synchronize(device)
        ends.append(clock())
        peaks.append(peak(device))

    assert scaled.spec.train
    few = evolve(scaled.spec.train, steps=1 + steps, checkpoint_every=1 + steps)
    train(few, network, objective, on_checkpoint=lambda _: None, on_progress=on_progress)
    seconds = [after - before for before, after in pairwise(ends[1:])]
    return {"step_s": statistics.median(seconds), "peak_gib": peaks[-1] / GIB}


def random_data(spec: Spec) -> Images | EncodedImages:
    """Random latents or pixels in the shape of the spec's, a few of each of some classes."""
    random = np.random.default_rng(SEED)
    labels = np.arange(NUM_IMAGES) % NUM_CLASSES
    channels, height, width = shape_of(spec)
    if holds_latents(spec.data):
        latents = random.standard_normal((NUM_IMAGES, 2, channels, height, width), np.float32)
        return EncodedImages(shards=(latents,), labels=labels, num_classes=NUM_CLASSES, digest="")
    pixels = random.integers(0, 256, (NUM_IMAGES, height, width, channels), np.uint8)
    return Images(images=pixels, labels=labels, num_classes=NUM_CLASSES, digest="")


def shape_of(spec: Spec) -> tuple[int, int, int]:
    shape = layout(spec.data) if spec.data else None
    assert shape is not None
    return shape.channels, shape.height, shape.width


def num_parameters(spec: Dit | Mae, shape: tuple[int, int, int]) -> int:
    """How many a generator, or the encoder of a masked autoencoder has; nothing is allocated."""
    with FakeTensorMode():
        made: nn.Module = dit(spec, shape) if isinstance(spec, Dit) else MaeEncoder(spec, shape[0])
    return sum(each.numel() for each in made.parameters())


def memory(device: str) -> int:
    """Bytes: of the GPU, or of this machine that nobody uses."""
    if device != "cpu":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith("MemAvailable"))
    return int(found) * 1024


def peak(device: str) -> int:
    """Bytes at the most so far."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
