"""CPU seconds that an execution's provenance costs: code, machine, environment.

    python tools/bench/bench_provenance.py [--rounds 15] [--write]

Each round is a process of its own that captures twice, in this repository, with whatever it has
uncommitted: the first capture finds everything out, the second asks only git again. The CPU time of
the programs that are asked (git, nvidia-smi) counts.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping

from attrs import frozen
from results import table, write_section

HEADING = "Provenance (`bench_provenance.py`)"
CAPTURE = """
import json, resource, sys, time
from pathlib import Path
from repro.ledger import provenance

def cpu():
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)

costs = []
for _ in range(2):
    wall, before = time.perf_counter(), cpu()
    records = provenance.capture(Path(sys.argv[1]), cwd=Path.cwd())
    costs.append([cpu() - before, time.perf_counter() - wall])

told = {each.provider: each for each in records if hasattr(each, "provider")}
statuses = {name: each.status for name, each in told.items()}
print(json.dumps([*costs, statuses, len(told["packages"].value)]))
"""


@frozen
class Round:
    """CPU and wall seconds of two captures in a fresh process, and what was found."""

    first: tuple[float, float]
    again: tuple[float, float]
    statuses: Mapping[str, str]
    num_packages: int


def main() -> None:
    """Print the median CPU and wall time of both captures, and what each provider said."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true", help="replace the section of RESULTS.md")
    arguments = parser.parse_args()
    rounds = [captured() for _ in range(arguments.rounds)]
    rows = [
        ("first capture of a process", *medians(each.first for each in rounds)),
        ("each later one", *medians(each.again for each in rounds)),
    ]
    said = ", ".join(f"{name} {status}" for name, status in rounds[0].statuses.items())
    text = (
        f"{table(('what', 'CPU', 'wall'), rows)}\n\nMedians of {len(rounds)} processes;"
        f" {rounds[0].num_packages} packages; the CPU of git and other programs that are asked"
        f" counts.\nWhat the providers said here: {said}."
    )
    print(text)
    if arguments.write:
        write_section(HEADING, text)


def captured() -> Round:
    """Two captures in a process of their own."""
    with tempfile.TemporaryDirectory() as ledger:
        command = [sys.executable, "-c", CAPTURE, ledger]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Round(*json.loads(done.stdout))


def medians(costs: Iterable[tuple[float, float]]) -> tuple[str, str]:
    """The middle CPU and the middle wall time."""
    cpu, wall = zip(*costs, strict=True)
    return f"{1e3 * statistics.median(cpu):.0f} ms", f"{1e3 * statistics.median(wall):.0f} ms"


if __name__ == "__main__":
    main()
