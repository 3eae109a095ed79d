"""Images a second from PNG files to features, against torch-fidelity, in the same run.

Run `python tools/bench/bench_features.py [--write]`, on a quiet machine. Both read the same folder
of 32 x 32 PNG files, resize as TensorFlow 1 did, and run the same network with the same weights
(the standard ones if they are in the cache, else random ones: the speed is the same). The peer runs
in several batch sizes: as it comes, and faster. Times are wall seconds, the best of the rounds.
The line below the table is the arithmetic of the machine: how many images a second its library's
large matrix products would make with the network's operations and nothing else to do.
Exits with 1 if any feature is off by more than 2e-5.
"""

import argparse
import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from results import table, write_section
from torch.utils.flop_counter import FlopCounterMode

from repro.engine import resources
from repro.engine.evaluation.extractor import Backend, Extractor, extract, open_extractor
from repro.engine.evaluation.fidelity import build_network
from repro.engine.evaluation.network import INPUT_SIZE, pool3_network, random_tensors
from repro.engine.evaluation.references import probe_deviation
from repro.engine.evaluation.weights import load_weights
from repro.engine.image_folder import read_folder
from repro.spec.evaluate import InceptionV3Compat

BATCH_SIZE = 8  # that of every evaluation
PEER_BATCH_SIZES = (8, 32, 64)  # the last is its default
TOLERANCE = 2e-5
MATRIX = 4096
PEER = "torch-fidelity 0.4"

Features = NDArray[np.float32]


def main() -> None:
    """Print the table of speeds; refuse features that moved."""
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=int, default=256)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "repro")
    options.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), given.images)
        routes = pipelines(Path(folder), given.cache)
        seconds, features = timed({name: run for name, (run, _) in routes.items()}, given.rounds)
    peers = [name for name in routes if name.startswith(PEER)]
    default, fastest = peers[-1], min(peers, key=lambda name: seconds[name])
    deviations = {name: float(np.abs(features[name] - features[default]).max()) for name in routes}
    rows = [
        [
            name,
            f"{given.images / seconds[name]:.1f}",
            f"{seconds[default] / seconds[name]:.2f}",
            f"{seconds[fastest] / seconds[name]:.2f}",
            f"{deviations[name]:.1e}",
            probe,
        ]
        for name, (_, probe) in routes.items()
    ]
    text = table(
        (
            "pipeline",
            "images/s",
            "times the peer as it comes",
            "times its fastest",
            "largest difference",
            "probe",
        ),
        rows,
    )
    text = f"{text}\n\n{arithmetic(given.rounds)}"
    print(text)
    if max(deviations.values()) > TOLERANCE:
        raise SystemExit(1)
    if given.write:
        write_section("Features (`bench_features.py`)", text)


def arithmetic(rounds: int) -> str:
    """What float32 matrix products do in a second, in operations and in images of this network."""
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        pool3_network(random_tensors())(torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE))
    operations = counted.get_total_flops()
    square = torch.ones(MATRIX, MATRIX)
    seconds = float("inf")
    for _ in range(8 * rounds):
        started_s = time.perf_counter()
        square @ square
        seconds = min(seconds, time.perf_counter() - started_s)
    speed = 2 * MATRIX**3 / seconds
    return (
        f"Matrix products of {MATRIX:,} squared: {speed / 1e9:.0f} GFLOP/s on "
        f"{torch.get_num_threads()} threads; the network needs {operations / 1e9:.1f} GFLOP an "
        f"image, so {speed / operations:.1f} images/s."
    )


def pipelines(folder: Path, cache: Path) -> dict[str, tuple[Callable[[], Features], str]]:
    """Each way from the folder to features [n, 2048], and its probe deviation."""
    standard = resources.present("inception", cache)
    spec = InceptionV3Compat(inception_weights="standard" if standard else "none")
    weights = cache / "inception.safetensors" if standard else None
    tensors = load_weights(weights) if weights else random_tensors()
    network = build_network(tensors)
    routes: dict[str, tuple[Callable[[], Features], str]] = {
        f"{PEER}, batches of {size}": (partial(peer, folder, network, size), "")
        for size in PEER_BATCH_SIZES
    }
    for backend in backends():
        opened = open_extractor(spec, weights_path=weights, backend=backend)
        probe = f"{probe_deviation(opened):.1e}" if standard else ""
        routes[f"repro, {backend}, batches of {BATCH_SIZE}"] = (
            partial(ours, folder, opened),
            probe,
        )
    return routes


def backends() -> tuple[Backend, ...]:
    """Those that are installed."""
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        return "torch", "onnxruntime"
    return ("torch",)


def ours(folder: Path, extractor: Extractor) -> Features:
    """Our reading, resize and network."""
    return extract(extractor, read_folder(folder).images, batch_size=BATCH_SIZE).pool3


def peer(folder: Path, network: torch.nn.Module, batch_size: int) -> Features:
    """torch-fidelity's own reading, loading and network."""
    from torch_fidelity.utils import extract_featuresdict_from_input_id

    warnings.simplefilter(
        "ignore"
    )  # it starts more readers than there are cores, and torch says so
    found = extract_featuresdict_from_input_id(
        1,
        network,
        input1=str(folder),
        batch_size=batch_size,
        cuda=False,
        cache=False,
        verbose=False,
    )
    features: Features = found["2048"].numpy()
    return features


def write_images(folder: Path, count: int) -> None:
    """Smooth pictures with grain; their content does not matter for speed."""
    random = np.random.RandomState(0)
    for index in range(count):
        coarse = Image.fromarray(random.randint(0, 256, (4, 4, 3)).astype(np.uint8))
        pixels = np.asarray(coarse.resize((32, 32)), np.int64) + random.randint(-9, 10, (32, 32, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index:05d}.png")


def timed(
    routes: dict[str, Callable[[], Features]], rounds: int
) -> tuple[dict[str, float], dict[str, Features]]:
    """Each route in turn, round by round, so that a noisy minute hits all of them."""
    seconds = dict.fromkeys(routes, float("inf"))
    features = {name: np.empty((0, 0), np.float32) for name in routes}
    for _ in range(rounds):
        for name, run in routes.items():
            started_s = time.perf_counter()
            features[name] = run()
            seconds[name] = min(seconds[name], time.perf_counter() - started_s)
    return seconds, features


if __name__ == "__main__":
    main()
