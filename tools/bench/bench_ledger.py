"""The ledger's figures: writing, folding, verifying, asking; MLflow and trackio beside it.

    python tools/bench/bench_ledger.py --mlflow PYTHON --trackio PYTHON [--scale 0.1]

Each PYTHON belongs to an environment with that tracker. `--scale` shrinks every count, `--only`
names the parts to run; without either the section of RESULTS.md is written anew. Medians. CPU
counts every thread; where other work shares the machine, it says more than the wall clock.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from attrs import frozen
from results import table, write_section

from repro import digest
from repro.ledger import examine, fold, history, machine, query, records, segment, store
from repro.ledger.chain import ZEROS, leaf_of, render, root_of
from repro.ledger.connection import connect, published_path
from repro.ledger.records import Decision, Measurement, Progress, Record, Seal, StageEvent, Start

HEADING = "Ledger (`bench_ledger.py`)"
PEERS = Path(__file__).parent / "peers"
STAGE = "a" * 32
PROTOCOLS = ("p" * 32, "q" * 32)
IMAGES = digest.sha256(b"images")
STEP_S = 0.005
STEP_MARK = 987_654_321

TOP = """
SELECT run_id, any_value(title) AS title, min(fid) AS fid, arg_min(step, fid) AS step
FROM starts
JOIN (
    SELECT execution_id, min(value) AS fid, arg_min(checkpoint_step, value) AS step
    FROM measurements
    WHERE metric = 'fid' AND protocol_id = $1 AND isfinite(value)
    GROUP BY execution_id
) USING (execution_id)
WHERE purpose = 'run'
GROUP BY run_id
ORDER BY fid
LIMIT 10
"""

WRITER = """
import sys
from pathlib import Path
from repro.ledger import segment
from repro.ledger.records import Start
with segment.begin(Path(sys.argv[1]), Start(purpose="run")) as execution:
    print("ready", flush=True)
    input()
    for step in range(int(sys.argv[2])):
        execution.log("s", step, {"loss": step / 3, "grad_norm": step / 7, "lr": 2e-4})
    execution.flush()
"""


@frozen(kw_only=True)
class Row:
    """One line of the table: what was done, the target, what was found; `peers` by name."""

    what: str
    target: str
    found: str
    peers: Mapping[str, str]


@frozen(kw_only=True)
class Bench:
    """What every part may use: where to write, how much, and whom to compare with."""

    folder: Path
    scale: float
    pythons: Mapping[str, Path]

    def count(self, full: int) -> int:
        return max(20, int(full * self.scale))

    def root(self) -> Path:
        """A new ledger."""
        root = Path(tempfile.mkdtemp(dir=self.folder))
        (root / "segments").mkdir()
        store.put_bytes(root, b"images")
        return root

    def peer(self, name: str, action: str, folder: Path, number: int) -> dict[str, Any]:
        """What a peer's script says, from a process of its own."""
        script = PEERS / f"{name}_numbers.py"
        command = [str(each) for each in (self.pythons[name], script, action, folder, number)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer


def main() -> None:
    """Print every row, and write the section when everything ran at full counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mlflow", type=Path, required=True, help="Python with MLflow")
    parser.add_argument("--trackio", type=Path, required=True, help="Python with trackio")
    parser.add_argument("--scale", type=float, default=1.0, help="of every count")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    pythons = {"mlflow": arguments.mlflow, "trackio": arguments.trackio}
    load = os.getloadavg()[1]
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder=Path(folder), scale=arguments.scale, pythons=pythons)
        for name in arguments.only:
            for row in PARTS[name](bench):
                print(f"{row.what}: {row.found} (target {row.target}) {dict(row.peers)}")
                found.append(row)
    columns = ["what", "target", "repro", *pythons]
    lines = [
        [each.what, each.target, each.found, *(each.peers.get(name, "") for name in pythons)]
        for each in found
    ]
    page = f"{NOTE}\n\n{table(columns, lines)}\n\nLoad average at the start: {load:.1f}.\n"
    print(page)
    if arguments.scale == 1.0 and len(arguments.only) == len(PARTS):
        write_section(HEADING, page)


def calls(bench: Bench) -> Iterator[Row]:
    """What a call costs, everything counted, and what becomes durable in a second."""
    number = bench.count(100_000)
    for names in (["loss"], ["loss", "grad_norm", "lr"]):
        values = {name: 1 / (place + 3) for place, name in enumerate(names)}
        cpus, walls = [], []
        for _ in range(5):
            with segment.begin(bench.root(), start(0)) as execution:
                spent = timed(partial(_log, execution, values, number))
            cpus.append(spent[0] / number)
            walls.append(number * len(names) / spent[1])
        peers = {}
        if len(names) == 1:
            for name, few in (("mlflow", 500), ("trackio", 10_000)):
                said = bench.peer(name, "calls", bench.root(), bench.count(few))
                peers[name] = f"{1e6 * said['cpu_s'] / bench.count(few):,.1f} µs"
        yield Row(
            what=f"measurement call of {len(names)} numbers, CPU in all, until durable",
            target="6 µs",
            found=f"{1e6 * median(cpus):.1f} µs",
            peers=peers,
        )
        peers = {}
        if len(names) == 1:
            said = bench.peer("mlflow", "batches", bench.root(), bench.count(10_000))
            peers["mlflow"] = f"{bench.count(10_000) / said['wall_s']:,.0f} (a thousand a call)"
        yield Row(
            what=f"durable measurements a second, {len(names)} a call, wall",
            target="100,000",
            found=f"{median(walls):,.0f}",
            peers=peers,
        )


def _log(execution: segment.Segment, values: Mapping[str, float], number: int) -> None:
    for step in range(number):
        execution.log(STAGE, step, values)
    execution.flush()


def steps(bench: Bench) -> Iterator[Row]:
    """A loop of 5 ms steps (a digest of a buffer, without the interpreter's lock)."""
    block = bytes(1 << 20)
    rounds = max(1, round(STEP_S / min(timed(lambda: sha256(block))[1] for _ in range(50))))

    def step() -> None:
        for _ in range(rounds):
            sha256(block)

    number = bench.count(400)
    in_calls, in_writer, shares = [], [], []  # µs, µs, of the loop's own time
    values = {"loss": 0.1, "grad_norm": 0.2, "lr": 0.3}
    for _ in range(5):
        with segment.begin(bench.root(), start(0)) as execution:
            spent, process, own = 0, time.process_time_ns(), time.thread_time_ns()
            for each in range(number):
                step()
                before = time.thread_time_ns()
                execution.log(STAGE, each, values)
                spent += time.thread_time_ns() - before
            total = time.process_time_ns() - process
            writer = total - (time.thread_time_ns() - own)
            in_calls.append(spent / number / 1e3)
            in_writer.append(writer / number / 1e3)
            shares.append(spent / (total - spent - writer))
    slower, call_us, writer_us = 100 * median(shares), median(in_calls), median(in_writer)
    yield Row(
        what=f"a {1e3 * STEP_S:.0f} ms step slows by the call; another thread writes; CPU",
        target="0.2 %",
        found=f"{slower:.2f} % ({call_us:.1f} µs; {writer_us:.1f} µs)",
        peers={},
    )


def audit(bench: Bench) -> Iterator[Row]:
    """Records that are on the disk when the call returns, fifty at a time."""
    batches = bench.count(100)
    rates = []
    for _ in range(5):
        with segment.begin(bench.root(), start(0)) as execution:
            wall = time.perf_counter()
            for batch in range(batches):
                said = [Decision(topic="audit", facts={"b": batch, "i": i}) for i in range(50)]
                execution.append_all(said)
            rates.append(50 * batches / (time.perf_counter() - wall))
    yield Row(
        what="acknowledged audit records a second, one sync for 50, wall",
        target="5,000",
        found=f"{median(rates):,.0f}",
        peers={},
    )


def writers(bench: Bench) -> Iterator[Row]:
    """Eight processes against one, in one ledger."""
    number = bench.count(150_000)
    rates = {many: median(_rate_of(bench, many, number) for _ in range(3)) for many in (1, 8)}
    yield Row(
        what="eight writers against one, durable numbers, wall",
        target="1.6 times on two cores",
        found=f"{rates[8] / rates[1]:.2f} times ({3 * rates[8]:,.0f} a second)",
        peers={},
    )


def _rate_of(bench: Bench, many: int, number: int) -> float:
    command = [sys.executable, "-c", WRITER, str(bench.root()), str(number)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(many)
    ]
    for each in running:
        assert each.stdout
        each.stdout.readline()
    wall = time.perf_counter()
    for each in running:
        assert each.stdin
        each.stdin.write(b"\n")
        each.stdin.flush()
    for each in running:
        each.communicate()
    return many * number / (time.perf_counter() - wall)


def top(bench: Bench) -> Iterator[Row]:
    """The ten best of many runs of 150 points: fid, kid and isc of 50 checkpoints."""
    for full, warm, opened in ((1_000, 10, 45), (20_000, 60, 130)):
        runs = bench.count(full)
        root = bench.root()
        for number in range(runs):
            write_run(root, number)
        fold.rebuild(root)
        parameters = [PROTOCOLS[1]]
        query(root, TOP, parameters)
        cold_s = [timed(partial(query, root, TOP, parameters)) for _ in range(9)]
        with connect(published_path(root), read_only=True) as open_:
            ask = partial(open_.execute, TOP, parameters)
            warm_s = [timed(partial(_fetched, ask)) for _ in range(9)]
        said = {}
        for name in bench.pythons:
            folder = bench.root()
            bench.peer(name, "fill", folder, runs)
            said[name] = bench.peer(name, "top", folder, 7)
        nexts = {
            name: [(each["cpu_s"], each["wall_s"]) for each in answer["next"]]
            for name, answer in said.items()
        }
        firsts = {
            name: [(answer["first"]["cpu_s"], answer["first"]["wall_s"])]
            for name, answer in said.items()
        }
        for what, target, ours, theirs in (
            ("warm", warm, warm_s, nexts),
            ("with the open", opened, cold_s, firsts),
        ):
            yield Row(
                what=f"ten best of {runs:,} runs, {what}: wall, CPU",
                target=f"{target} ms",
                found=_milliseconds(ours),
                peers={name: _milliseconds(each) for name, each in theirs.items()},
            )


def _fetched(ask: Callable[[], Any]) -> Any:
    return ask().fetchall()


def _milliseconds(spent: list[tuple[float, float]]) -> str:
    cpu, wall = (1e3 * median(each) for each in zip(*spent, strict=True))
    return f"{wall:.1f} ms, {cpu:.1f} ms"


def records_at_large(bench: Bench) -> Iterator[Row]:
    """A million records as executions write them: fold, chain, whole verification."""
    root = bench.root()
    total = 200 * bench.count(5_000)
    for number in range(200):
        with segment.begin(root, start(number)) as execution:
            execution.append_all(list(_mixed(total // 200)), durable=False)
    yield _folded(root, "fold of {:,} records", "10 s for a million")
    _, alone = timed(lambda: [num_lines(each) for each in paths(root)])
    with ProcessPoolExecutor(machine.num_cores()) as processes:
        list(processes.map(num_lines, paths(root)[: machine.num_cores()]))  # they are started
        _, together = timed(lambda: list(processes.map(num_lines, paths(root))))
    yield Row(
        what="chains, seals and roots followed, records a second, wall: in a process, one a core",
        target="200,000",
        found=f"{total / alone:,.0f}, {total / together:,.0f}",
        peers={},
    )
    _, wall = timed(lambda: _expect_whole(root))
    yield Row(
        what="`verify` with the database, every record decoded, records a second, wall",
        target="200,000",
        found=f"{total / wall:,.0f}",
        peers={},
    )


def _expect_whole(root: Path) -> None:
    findings = examine(root, num_processes=machine.num_cores()).findings
    assert not findings, findings


def _folded(root: Path, what: str, target: str) -> Row:
    found: list[fold.Folded] = []
    cpu, wall = timed(lambda: found.append(fold.rebuild(root)))
    assert not found[0].problems
    return Row(
        what=f"{what.format(found[0].num_records)}: wall, CPU",
        target=target,
        found=f"{wall:.1f} s, {cpu:.1f} s",
        peers={},
    )


def numbers_at_large(bench: Bench) -> Iterator[Row]:
    """Ten million numbers of training loops: rebuilt, asked, folded further."""
    root = bench.root()
    number = bench.count(50_000)
    for run in range(20):
        with segment.begin(root, start(run)) as execution:
            for step in range(number):
                values = {f"metric {place}": step / (place + 3) for place in range(10)}
                execution.log(STAGE, step, values)
    total = 200 * number
    yield _folded(root, f"rebuild of {total:,} measurements, {{:,}} records", "")
    sql = "SELECT execution_id, name, min(value), arg_min(step, value) FROM progress GROUP BY ALL"
    spent = [timed(lambda: query(root, sql)) for _ in range(5)]
    yield Row(
        what=f"best of each of 200 curves among {total:,}, with the open: wall, CPU",
        target="",
        found=_milliseconds(spent),
        peers={},
    )
    with segment.begin(root, start(99)) as execution:
        execution.log(STAGE, 1, {"loss": 1.0})
    cpu, wall = timed(lambda: fold.fold(root))
    yield Row(
        what="fold of one execution more: wall, CPU",
        target="",
        found=f"{1e3 * wall:.0f} ms, {1e3 * cpu:.0f} ms",
        peers={},
    )


def start(number: int) -> Start:
    """The start of a run that evaluates."""
    spec = f'{{"seed":{number}}}'
    stage = {"stage_id": STAGE, "kind": "evaluate", "name": "each", "inputs": []}
    return Start(
        purpose="run",
        run_id=digest.xxh3_128(spec.encode()),
        study="bench",
        title=f"run {number}",
        canonical_spec=spec,
        stages=(stage,),
    )


def measurement_value(number: int, step: int, metric: str) -> float:
    """Which runs and steps are best looks like chance."""
    return 10 + (number * 7919 + step * 104_729 + ord(metric[0])) % 100_003 / 1000


def measurement(number: int, step: int, metric: str) -> Measurement:
    """A number of a checkpoint."""
    return Measurement(
        stage_id=STAGE,
        evaluation="each",
        checkpoint_step=step,
        metric=metric,
        value=measurement_value(number, step, metric),
        se=0.25,
        se_kind="influence",
        num_samples=50_000,
        protocol_id=PROTOCOLS[number % 2],
        samples=IMAGES,
        facts={"seed": number, "alpha": 1.5},
    )


def write_run(root: Path, number: int) -> None:
    """The segment of a whole run, as the writer would leave it, without its syncs."""
    execution_id = f"20260101T{number:012d}-00000000"
    done = StageEvent(stage_id=STAGE, stage_kind="evaluate", name="each", event="done")
    first = json.loads(records.encode(start(number))) | {"execution_id": execution_id}
    said = [(Start.kind, digest.canonical(first))]
    for metric in ("fid", "kid", "isc"):
        # Encoded once: what differs between steps has the same place in each of them.
        template = records.encode(measurement(number, STEP_MARK, metric))
        value = measurement(number, STEP_MARK, metric).value
        for step in range(50):
            data = template.replace(b"%d" % STEP_MARK, b"%d" % step, 1)
            other = measurement_value(number, step, metric)
            said.append((Measurement.kind, data.replace(b"%r" % value, b"%r" % other, 1)))
    said.append((done.kind, records.encode(done)))
    now, prev, lines = datetime(2026, 1, 1, tzinfo=UTC), ZEROS, list[bytes]()
    for kind, data in said:
        lines.append(render(seq=len(lines), time=now, kind=kind, data=data, prev=prev))
        prev = lines[-1][-66:-2].decode()
    root_hash = f"sha256:{root_of([leaf_of(line) for line in lines])}"
    seal = records.encode(Seal(outcome="done", num_records=len(said), merkle_root=root_hash))
    lines.append(render(seq=len(lines), time=now, kind=Seal.kind, data=seal, prev=prev))
    (root / "segments" / f"{execution_id}.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def _mixed(number: int) -> Iterator[Record]:
    """Seven moments of progress, an event, a measurement and a decision; and again."""
    for place in range(number):
        match place % 10:
            case 7:
                yield StageEvent(
                    stage_id=STAGE, stage_kind="evaluate", name="each", event="started"
                )
            case 8:
                yield measurement(place, place, "fid")
            case 9:
                yield Decision(topic="selection", stage_id=STAGE, facts={"place": place})
            case _:
                curves = {"loss": [1 / (place + 3)], "grad_norm": [place / 7], "lr": [2e-4]}
                yield Progress(stage_id=STAGE, steps=(place,), values=curves)


def paths(root: Path) -> list[Path]:
    return history.segment_paths(root)


def num_lines(path: Path) -> int:
    """How many lines a segment has; each is checked."""
    return sum(1 for _ in history.read_lines(path))


def timed(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of CPU, of all threads, and of wall clock."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.process_time() - cpu, time.perf_counter() - wall


NOTE = """Everything in one run; medians of 5 to 9 of what is short, once what is long. CPU counts
all threads of the process, DuckDB's too. *Durable* means that the disk has synced. A record is a
line of a segment; the million is a mixture of progress, events, measurements and decisions, 370
bytes each, and slower to verify than the records of a training (see *Verification*). *With the
open*: a program that has the library loaded and nothing open asks, and no segment has grown; of a
peer, the first question of a process after its imports. MLflow orders runs by their last value, not
the best. The peers' runs are copies, in their own tables, of ten that their own interface made."""

PARTS: Mapping[str, Callable[[Bench], Iterator[Row]]] = {
    "calls": calls,
    "steps": steps,
    "audit": audit,
    "writers": writers,
    "top": top,
    "records": records_at_large,
    "numbers": numbers_at_large,
}

if __name__ == "__main__":
    main()
