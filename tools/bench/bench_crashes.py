"""kill -9 and full disks at full counts: what was lost, what was found broken, how long it took.

    python tools/bench/bench_crashes.py [--scale 0.1] [--seed 0] [--jobs 2] [--write]

In an environment in which this repository is installed for development, so that `tests` can be
imported. The exit status is 1 if anything was wrong.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from results import table, write_section

from tests.ledger.crashes import small_disk, suites
from tests.ledger.crashes.faults import FAULTS
from tests.ledger.crashes.suites import Tally

HEADING = "Crashes (`bench_crashes.py`)"
ABOUT = """
Processes killed with SIGKILL, at random moments and at each of their system calls that changes a
file, and disks without space, from each such call on and at several sizes of a real one. Killed
means before the call, torn in the middle of it. After each, every record, number and artifact that
was acknowledged is looked up, the tables are compared with the segments, and the next commands (an
execution, `verify`, a question) must work without repair.
"""
COLUMNS = ("what was killed, or found no space", "moments", "acknowledged", "wrong", "seconds")

FREE_BYTES = [0, 1, 4096, 8192, *range(20_000, 1_000_000, 70_000), *range(10**6, 6 * 10**6, 10**6)]
EVERY_CALL = range(1000)


def main() -> None:
    """Run every suite, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full counts")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--jobs", type=int, default=1, help="suites that run at once")
    parser.add_argument("--write", action="store_true", help="replace the section of RESULTS.md")
    given = parser.parse_args()
    began_s, rows, wrong = time.monotonic(), [], list[str]()
    every = attacks(given.scale, given.seed)
    with ProcessPoolExecutor(given.jobs) as pool:
        for name, tally in zip(every, pool.map(attacked, every.values()), strict=True):
            rows.append(row(name, tally))
            wrong += [f"{name}: {each}" for each in tally.wrong]
            print("  ".join(rows[-1]), flush=True)
    print("\n".join(wrong))
    if given.write:
        minutes = (time.monotonic() - began_s) / 60
        counts = f"{minutes:.0f} minutes in all, {given.jobs} suites at a time."
        write_section(HEADING, f"{ABOUT}\n{table(COLUMNS, rows)}\n\n{counts}")
    sys.exit(1 if wrong else 0)


def attacks(scale: float, seed: int) -> dict[str, Callable[[Path], Tally]]:
    """Every suite at a part of its full counts."""

    def moments(full: int) -> int:
        return max(1, round(full * scale))

    step = max(1, round(1 / scale))
    random = {
        "a writer": partial(suites.killed_writers, moments=moments(500), writers=1),
        "eight writers at once": partial(suites.killed_writers, moments=moments(500), writers=8),
        "three that store artifacts": partial(suites.killed_stores, moments=moments(200)),
        "two that fold": partial(suites.killed_folds, moments=moments(200)),
        "two collectors and a writer": partial(suites.killed_collections, moments=moments(100)),
    }
    found: dict[str, Callable[[Path], Tally]] = {
        f"{name}, at random": partial(attack, seed=seed) for name, attack in random.items()
    }
    for victim in ("write once", "keep once", "fold once", "collect once"):
        for fault in FAULTS:
            found[f"`{victim}`, {fault} at every call"] = partial(
                suites.met_at_calls, victim=victim, fault=fault, calls=EVERY_CALL[::step]
            )
    for victim in ("write", "keep", "fold", "collect"):
        found[f"`{victim}` on a full disk of its own"] = partial(
            small_disk.filled, victim=victim, free_bytes=FREE_BYTES[::step]
        )
    return found


def attacked(attack: Callable[[Path], Tally]) -> Tally:
    """What a suite finds, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return attack(Path(folder))


def row(name: str, tally: Tally) -> tuple[str, ...]:
    """A line of the table."""
    counts = (f"{tally.moments:,}", f"{tally.acknowledged:,}", f"{len(tally.wrong)}")
    return (name, *counts, f"{tally.elapsed_s:.0f}")


if __name__ == "__main__":
    main()
