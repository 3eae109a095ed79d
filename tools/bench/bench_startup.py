"""CPU seconds that a command costs before it does anything, beside MLflow's command line.

    python tools/bench/bench_startup.py [--peer PATH_OF_MLFLOW]

The peer is the `mlflow` script of another virtual environment (`pip install mlflow-skinny`). Each
figure is the smallest of several runs: the rest is noise from other processes.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 7
SPEC = Path("specs/quickstart/cifar10.toml")
SMALL = """
schema = 1
title = "small"
[data]
kind = "digits"
[network]
kind = "unet2d"
channels = [8, 8]
attention = [false, false]
norm_groups = 4
[objective]
kind = "denoise"
[train]
steps = 2
seed = 0
lr = 1e-3
"""


def main() -> None:
    """Print CPU seconds a command, and the ratio to the peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, help="another environment's mlflow script")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = ours(Path(folder))
    for name, seconds in figures.items():
        print(f"{name:32s} {seconds:.3f} s of CPU")
    if arguments.peer:
        peer = cpu_seconds([str(arguments.peer), "--help"])
        print(f"{'mlflow --help':32s} {peer:.3f} s of CPU")
        print(f"mlflow --help costs {peer / figures['repro --help']:.1f} times repro --help")


def ours(folder: Path) -> dict[str, float]:
    """CPU seconds of our commands on a ledger with one finished run."""
    spec = folder / "small.toml"
    spec.write_text(SMALL, encoding="utf-8")
    repro = [sys.executable, "-m", "repro", "--ledger", str(folder / "ledger")]
    subprocess.run([*repro, "run", str(spec)], check=True, capture_output=True)
    commands = {
        "repro --help": ["--help"],
        "repro plan (quickstart)": ["plan", str(SPEC)],
        "repro sql (small ledger)": ["sql", "select * from results"],
        "repro run (finished)": ["run", str(spec)],
        "repro report --help": ["report", "--help"],
    }
    return {name: cpu_seconds([*repro, *command]) for name, command in commands.items()}


def cpu_seconds(command: list[str]) -> float:
    """User and system seconds of a command, the smallest of several runs."""
    found = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=False, capture_output=True, env=os.environ)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


if __name__ == "__main__":
    main()
