"""Seconds of `repro report --claims` on a ledger of many runs.

    PYTHONPATH=. python tools/bench/bench_report.py [--runs 1000] [--rounds 7] [--page] [--write]

Two studies in one ledger, which is folded before. `few` makes claims about one run. `all` is a
sweep over the training seed: three evaluations and 150 steps of three curves a run, claims about
one of the runs, and a page with every measurement of every run, each through the whole gate: only
with `--page`, and once, for it takes a minute. Real records, formulas, digests and
rules; but features have four dimensions (`tests/report/fake.py`), and the runs of the sweep share
the files of one. So this is the cost of records; evidence adds what SHA-256 and the formulas cost
on its bytes. The first report of each, which records the verdicts, is not counted.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen
from results import table, write_section

from repro.ledger import history, query
from repro.ledger.records import (
    Artifact,
    Checkpoint,
    Measurement,
    Progress,
    Record,
    Seal,
    StageEvent,
    Start,
)
from repro.ledger.segment import begin
from repro.spec import Spec, canonical_spec, load, run_id, stages
from tests.report import fake
from tests.report.fake import Made

HEADING = "A report over many runs (`bench_report.py`)"
TARGET_S = 1.5
FEW, ALL = "few", "all"
STUDIES = {FEW: "three claims on one run", ALL: "three claims, and a page of all runs"}
NUM_STEPS = 150
CURVES = ("energy/pixels/0.02", "energy/pixels/0.2", "grad_norm")
SPEC = f"""
schema = 1
title = "A network in two updates"
[data]
kind = "cifar10"
[network]
kind = "conv-generator"
[objective]
kind = "drifting"
[train]
steps = 2
seed = 0
lr = 1e-3
initial_checkpoint = true
[protocol]
reference = {{ kind = "shipped", name = "cifar10-test", digest = "sha256:{"0" * 64}" }}
metrics = [{{ kind = "fid" }}]
"""
EVALUATION = """
[[evaluate]]
name = "{name}"
checkpoints = {{ steps = [{step}] }}
sample = {{ kind = "checkpoint", num_samples = 2049, seed = {seed}, sampler.kind = "one-step" }}
"""
EVALUATIONS = {"trained": (2, 0), "again": (2, 10_000), "untrained": (0, 20_000)}
MADE = {"trained": Made(shift=0.3), "again": Made(shift=0.31), "untrained": Made(shift=2.0)}
CLAIM = """
[[claims]]
kind = "comparison"
name = "{left}-{right}"
text = "The {left} network has the lower FID than the {right} one."
metric = "fid"
left = "one:{left}"
relation = "less"
right = "one:{right}"
"""
PAIRS = (("trained", "untrained"), ("again", "untrained"), ("trained", "again"))


@frozen(kw_only=True)
class Cost:
    """Medians over the rounds."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Print the table of both studies."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--page", action="store_true", help="also the page of all runs, once")
    options.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = options.parse_args()
    studies = {FEW: given.rounds, **({ALL: 1} if given.page else {})}
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), studies, num_runs=given.runs)
    rows = [
        [STUDIES[study], f"{cost.wall_s:.2f}", f"{cost.cpu_s:.2f}"]
        for study, cost in measured.items()
    ]
    text = table(("report", "wall s", "CPU s"), rows)
    print(text)
    if given.write:
        write_section(HEADING, f"{_conditions(given.runs, given.rounds)}\n\n{text}")


def measure(folder: Path, studies: Mapping[str, int], *, num_runs: int) -> dict[str, Cost]:
    """Fill a ledger and report on studies of it, each in so many rounds."""
    root, reports = folder / "ledger", folder / "reports"
    for path in (_study(folder, FEW, sweep=1), _study(folder, ALL, sweep=num_runs)):
        first, *others = load(path)
        template = fake.run(root, path, MADE, spec=first)
        _copy(root, template, first, others)
    query(root, "SELECT 1")
    report = [sys.executable, "-m", "repro", "--ledger", str(root), "report", "--claims"]
    return {
        study: _cost([*report, "--reports", str(reports), study], rounds=rounds)
        for study, rounds in studies.items()
    }


def _study(folder: Path, name: str, *, sweep: int) -> Path:
    """A study of one swept spec with claims about its first run; the path of the spec."""
    path = folder / "specs" / name / "one.toml"
    claims = folder / "reports" / name / "claims.toml"
    evaluations = (
        EVALUATION.format(name=each, step=step, seed=seed)
        for each, (step, seed) in EVALUATIONS.items()
    )
    swept = f"[sweep]\ntrain.seed = {list(range(1, sweep + 1))}\n"
    heading = (
        f'schema = 1\ntitle = "{name}"\n'
        '[specs.one]\npath = "../../specs/{0}/one.toml"\noverrides = ["train.seed=1"]\n'
        '[specs.every]\npath = "../../specs/{0}/one.toml"\n'
    ).format(name)
    judged = (CLAIM.format(left=left, right=right) for left, right in PAIRS)
    for file, text in (
        (path, SPEC + "".join(evaluations) + swept),
        (claims, heading + "".join(judged)),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return path


def _copy(root: Path, template: str, first: Spec, others: Sequence[Spec]) -> None:
    """Record each other run as if it had left what the first left, and logged more."""
    path = root / "segments" / f"{template}.jsonl"
    said = [history.decoded(line) for line in history.read_lines(path)]
    start, *records = [each for each in said if each and not isinstance(each, Progress | Seal)]
    assert isinstance(start, Start)
    for spec in others:
        names = {
            old.stage_id: new.stage_id for old, new in zip(stages(first), stages(spec), strict=True)
        }
        with begin(root, _started(start, spec, names)) as segment:
            segment.append_all([*_renamed(records, names, template), _curves(names)])


def _started(start: Start, spec: Spec, names: Mapping[str, str]) -> Start:
    plan = tuple(
        {
            **each,
            "stage_id": names[each["stage_id"]],
            "inputs": [names[one] for one in each["inputs"]],
        }
        for each in start.stages
    )
    canonical = canonical_spec(spec).decode()
    return evolve(start, run_id=run_id(spec), canonical_spec=canonical, stages=plan)


def _renamed(
    records: Sequence[Record], names: Mapping[str, str], template: str
) -> Iterator[Record]:
    """The records of another run: what does not depend on the seed was done by the first."""
    for each in records:
        match each:
            case StageEvent(event="started", stage_id=stage_id) if names[stage_id] == stage_id:
                pass
            case StageEvent(event="done", stage_id=stage_id) if names[stage_id] == stage_id:
                yield evolve(each, event="reused", facts={"execution_id": template})
            case StageEvent() | Artifact() | Checkpoint() | Measurement() if each.stage_id:
                yield evolve(each, stage_id=names[each.stage_id])
            case _:
                yield each


def _curves(names: Mapping[str, str]) -> Progress:
    steps = tuple(range(1, NUM_STEPS + 1))
    values = {name: tuple(1 / step for step in steps) for name in CURVES}
    return Progress(stage_id=next(iter(names.values())), steps=steps, values=values)


def _cost(command: list[str], *, rounds: int) -> Cost:
    walls, cpus = [], []
    for _ in range(rounds + 1):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        walls.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if "supported" not in done.stdout:
            sys.exit(f"{' '.join(command)} judged nothing:\n{done.stdout}{done.stderr}")
    return Cost(wall_s=statistics.median(walls[1:]), cpu_s=statistics.median(cpus[1:]))


def _conditions(num_runs: int, rounds: int) -> str:
    return (
        f"{num_runs + 1:,} runs in the ledger, of three evaluations and {NUM_STEPS} steps of"
        f" {len(CURVES)} curves each; the whole command, medians of {rounds} rounds, warm page"
        f" cache, load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores. The target is"
        f" {TARGET_S} s for the first line. Features of four dimensions, and the runs share the"
        " files of one: evidence adds what SHA-256 and the formulas cost on its bytes."
    )


if __name__ == "__main__":
    main()
