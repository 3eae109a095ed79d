"""How fast everything is read again: records, artifacts, and a head over many seals.

    python tools/bench/bench_verify.py [--scale 0.1] [--write]

Medians of three rounds, by CPU (of the processes that `verify` starts, too) and by wall clock. The
records are numbers of a training, one a record, in eight folded segments, and `verify` holds them
against the database too; the target is 200,000 a second. The peer of the artifacts is what one core
reads and hashes: `hashlib.file_digest` with SHA-256, on the same files; the target is 80 % of that,
which small files miss, because to open one costs more than to hash it.
"""

import argparse
import hashlib
import os
import resource
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from attrs import frozen
from results import table, write_section

from repro.ledger import examine, head, history, machine, segment, store
from repro.ledger.fold import fold
from repro.ledger.records import Artifact, Progress, Start

ROUNDS = 3
SEGMENTS = 8
STAGE = "a" * 32
PLAN = ({"stage_id": STAGE, "kind": "train", "name": "train", "inputs": []},)


@frozen(kw_only=True)
class Took:
    """The median of some rounds."""

    cpu_s: float
    wall_s: float


def main() -> None:
    """Print every figure and write the section of RESULTS.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of the full counts")
    parser.add_argument("--write", action="store_true", help="write the section of RESULTS.md")
    arguments = parser.parse_args()
    scale = arguments.scale
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            *of_records(Path(folder) / "records", round(1_000_000 * scale)),
            *of_artifacts(Path(folder) / "artifacts", round(128 * scale), 16 << 20),
            *of_artifacts(Path(folder) / "small", round(20_000 * scale), 4096),
            *of_heads(Path(folder) / "heads", round(20_000 * scale)),
        ]
    text = table(("what", "a CPU second", "a second"), rows)
    print(text)
    if arguments.write:
        note = (__doc__ or "").split("\n\n")[2]
        load = f"Load average while it ran: {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores."
        write_section("Verification (`bench_verify.py`)", f"{text}\n\n{note.strip()} {load}")


def of_records(root: Path, num_records: int) -> list[tuple[str, str, str]]:
    """Records a second, by `verify` and along the chain alone."""
    for _ in range(SEGMENTS):
        with segment.begin(root, Start(purpose="run", stages=PLAN)) as execution:
            execution.append_all(
                [
                    Progress(stage_id=STAGE, steps=[step], values={"loss": [1 / (step + 1)]})
                    for step in range(num_records // SEGMENTS)
                ]
            )
    fold(root)
    paths = history.segment_paths(root)
    count = sum(1 for path in paths for _ in history.read_lines(path))

    def follow() -> None:
        for path in paths:
            for _ in history.read_lines(path):
                pass

    return [
        per_second(
            f"`verify`, {count:,} records, a process a core", count, timed(lambda: examined(root))
        ),
        per_second("chains and seals alone, one process", count, timed(follow)),
    ]


def of_artifacts(root: Path, num_files: int, size_bytes: int) -> list[tuple[str, str, str]]:
    """Bytes a second, by `verify` and by SHA-256 alone."""
    with segment.begin(root, Start(purpose="run", stages=PLAN)) as execution:
        records = []
        for number in range(num_files):
            stored = store.put_bytes(root, secrets.token_bytes(size_bytes))
            name = f"{number}.bin"
            records.append(
                Artifact(
                    stage_id=STAGE,
                    role="weights",
                    name=name,
                    sha256=stored.sha256,
                    xxh3_128=stored.xxh3_128,
                    size_bytes=stored.size_bytes,
                )
            )
        execution.append_all(records)
    fold(root)
    paths = sorted((root / "objects").glob("*/*"))

    def hashed() -> None:
        for path in paths:
            with path.open("rb") as file:
                hashlib.file_digest(file, "sha256")

    ours, alone = timed(lambda: examined(root)), timed(hashed)
    megabytes = num_files * size_bytes / 1e6
    what = f"{num_files:,} artifacts of {size_bytes:,} bytes"
    return [
        per_second(f"`verify`, MB of {what}", megabytes, ours),
        per_second("reading and SHA-256 alone, MB", megabytes, alone),
        (
            "share of that",
            f"{alone.cpu_s / ours.cpu_s:.0%}",
            f"{alone.wall_s / ours.wall_s:.0%}",
        ),
    ]


def of_heads(root: Path, num_seals: int) -> list[tuple[str, str, str]]:
    """Seals a second."""
    for _ in range(num_seals):
        with segment.begin(root, Start(purpose="report")):
            pass
    took = timed(lambda: head(root))
    return [per_second(f"`ledger head`, {num_seals:,} seals", num_seals, took)]


def examined(root: Path) -> None:
    """Verify, and stop if something is found."""
    findings = examine(root, num_processes=machine.num_cores()).findings
    if findings:
        raise SystemExit(str(findings[0]))


def timed(do: Callable[[], object]) -> Took:
    """How long it takes, the median of some rounds."""
    cpu_s, wall_s = [], []
    for _ in range(ROUNDS):
        started = _cpu_s(), time.perf_counter()
        do()
        cpu_s.append(_cpu_s() - started[0])
        wall_s.append(time.perf_counter() - started[1])
    return Took(cpu_s=statistics.median(cpu_s), wall_s=statistics.median(wall_s))


def _cpu_s() -> float:
    """Seconds of this process and of those that it started and saw end."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def per_second(what: str, amount: float, took: Took) -> tuple[str, str, str]:
    return what, f"{amount / took.cpu_s:,.0f}", f"{amount / took.wall_s:,.0f}"


if __name__ == "__main__":
    main()
