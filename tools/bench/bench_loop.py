"""What the common loop and the common sampling job cost, against the same network without them.

Run `python tools/bench/bench_loop.py [--write]`. The peer of the loop is a training loop as one
writes it by hand: the same loss, AdamW, clipping, an average of the weights; no ledger, no seeds of
its own, no finite checks. The peer of sampling is nothing but the network calls that our sampler
made, made again on the same inputs. Both sides take turns and are told apart by CPU time of this
process, of which the least over all updates or rounds counts: a busy machine only adds to it. Exits
with 1 if a family costs 2 % or more in training, or more than 3 % in sampling.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from attrs import evolve, frozen
from results import table, write_section
from torch import nn
from torch.optim import AdamW

from repro.engine.builders import Materials, builder_of
from repro.engine.edm.codec import seen_shape
from repro.engine.objectives.objective import Objective
from repro.engine.randomness import randomness_of
from repro.engine.sampling import sample_images
from repro.engine.train import train
from repro.ledger import segment
from repro.ledger.records import Start
from repro.spec import Spec, load
from repro.spec.data import StandIn
from repro.spec.layout import layout
from repro.spec.sample import FromCheckpoint
from repro.spec.train import Train

ROOT = Path(__file__).parents[2]
BATCH, STEPS = 32, 10
MOST_TRAINING, MOST_SAMPLING = 0.02, 0.03
FAMILIES = {
    "drifting": ("specs/quickstart/cifar10.toml", ""),
    "DDPM (E7)": ("specs/e7/digits.toml", ""),
    "multi-scale EDM": ("specs/slot/digits.toml", "sync"),
    "conditional v-prediction": ("specs/stl10/digits.toml", "cfg-3.0"),
}
"""The smallest spec of each study that is trained for its report, and an evaluation of it."""


@frozen(kw_only=True, eq=False)
class Family:
    """A network, its objective on stand-in data, and how it is sampled."""

    name: str
    spec: Spec
    network: nn.Module
    objective: Objective
    sample: FromCheckpoint
    shape: tuple[int, ...]


def main() -> int:
    """Print both tables; refuse what costs too much."""
    options = argparse.ArgumentParser()
    options.add_argument("--updates", type=int, default=9, help="of each side in a round")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", nargs="*", default=list(FAMILIES))
    options.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    given = options.parse_args()
    torch.set_num_threads(1)
    rows, slow = [], False
    for name in given.only:
        family = opened(name, *FAMILIES[name])
        ours, bare = trained(family, updates=given.updates, rounds=given.rounds)
        sampling, calls, nfe = sampled(family, rounds=given.rounds)
        costs = ours / bare - 1, sampling / calls - 1
        slow |= costs[0] >= MOST_TRAINING or costs[1] > MOST_SAMPLING
        rows.append(
            [
                name,
                f"{bare * 1e3:.1f}",
                f"{(ours - bare) * 1e6:+.0f}",
                f"{costs[0]:+.2%}",
                str(nfe),
                f"{calls:.3f}",
                f"{costs[1]:+.2%}",
            ]
        )
        print(*rows[-1], sep="  ", file=sys.stderr)
    columns = ["family", "ms an update, bare", "our loop, us more", "is"]
    columns += ["calls an image", "s of calls for a batch", "our job more"]
    text = table(columns, rows)
    print(text)
    if given.write:
        write_section(
            "The common loop (`bench_loop.py`)",
            f"Least CPU time, one thread; {given.rounds} rounds of {given.updates} updates of each "
            f"side; samples in batches of {BATCH}, at most {STEPS} steps. The networks are the "
            "smallest that a study trains, where a loop costs most; every update is logged in a "
            "ledger.\n\n" + text,
        )
    return int(slow)


def opened(name: str, path: str, evaluation: str) -> Family:
    (spec, *_) = load(ROOT / path)
    assert spec.network
    assert spec.objective
    stand_in = _stand_in(spec)
    data = builder_of(stand_in)(stand_in, Path())
    shape = seen_shape(spec.objective, data.shape)
    objective: Any = spec.objective
    if hasattr(objective, "features"):
        objective = evolve(objective, features=("pixels",), nearest_positives=None)
    given = Materials(data=data, network=spec.network, encoder=None)
    found = [each for each in spec.evaluate if isinstance(each.sample, FromCheckpoint)]
    chosen = next((each for each in found if each.name == evaluation), found[0])
    assert isinstance(chosen.sample, FromCheckpoint)
    return Family(
        name=name,
        spec=spec,
        network=builder_of(spec.network)(spec.network, shape),
        objective=builder_of(objective)(objective, given),
        sample=evolve(chosen.sample, num_samples=BATCH, sampler=_short(chosen.sample.sampler)),
        shape=tuple(shape),
    )


def _short(sampler: Any) -> Any:
    """The sampler with few steps: what a step costs does not depend on how many there are."""
    steps = {"steps": min(sampler.steps, STEPS)} if hasattr(sampler, "steps") else {}
    return evolve(sampler, **steps)


def _stand_in(spec: Spec) -> StandIn:
    shape = layout(spec.data) if spec.data else None
    assert shape
    return StandIn(
        height=shape.height,
        width=shape.width,
        channels=shape.channels,
        num_classes=shape.num_classes,
        num_images=1000,
    )


def trained(family: Family, *, updates: int, rounds: int) -> tuple[float, float]:
    """Least CPU seconds of an update: in our loop, and in one by hand."""
    assert family.spec.train
    spec = evolve(family.spec.train, steps=updates, checkpoint_every=updates)
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ledger").mkdir()
        start = Start(purpose="run", run_id="0" * 32)
        with segment.begin(Path(folder) / "ledger", start) as open_segment:
            for _ in range(rounds):
                moments: list[float] = []

                def on_progress(step: int, values: Any, *, into: list[float] = moments) -> None:
                    open_segment.log("0" * 32, step, values)
                    into.append(time.process_time())

                train(
                    spec,
                    family.network,
                    family.objective,
                    on_checkpoint=lambda _: None,
                    on_progress=on_progress,
                )
                ours += differences(moments)
                bare += differences(list(by_hand(spec, family.network, family.objective)))
    return min(ours), min(bare)


def by_hand(spec: Train, network: nn.Module, objective: Objective) -> Iterator[float]:
    """The moment after each update of a loop that does nothing else."""
    network.train()
    optimizer = AdamW(network.parameters(), lr=spec.lr, fused=True)
    shadow = {name: value.clone() for name, value in network.state_dict().items()}
    generator = torch.Generator().manual_seed(spec.seed)
    for step in range(spec.steps):
        optimizer.zero_grad(set_to_none=True)
        for micro in range(spec.accumulate):
            out = objective.loss(network, step=step, micro=micro, generator=generator)
            (out.loss / spec.accumulate).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), spec.clip_norm)
        optimizer.step()
        with torch.no_grad():
            for name, value in network.state_dict().items():
                if value.is_floating_point():
                    shadow[name].lerp_(value, 1 - 0.999)
        yield time.process_time()


def differences(moments: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(moments)]


def sampled(family: Family, *, rounds: int) -> tuple[float, float, int]:
    """Least CPU seconds of a batch: of our job, and of its network calls alone; calls an image."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    network = family.network.eval()

    def job() -> int:
        return sample_images(
            family.sample,
            network,
            objective=family.spec.objective,
            randomness=randomness_of(family.spec.network, family.shape),
            num_classes=10,
            batch_size=BATCH,
            advance=lambda amount, note="": None,
        ).nfe

    def again() -> None:
        with torch.inference_mode():
            for inputs, named in calls:
                network(*inputs, **named)

    hook = network.register_forward_pre_hook(
        lambda _, inputs, named: calls.append((inputs, named)), with_kwargs=True
    )
    nfe = job()
    hook.remove()
    ours, alone = [], []
    for _ in range(rounds):
        ours.append(cpu_s(job))
        alone.append(cpu_s(again))
    return min(ours), min(alone), nfe


def cpu_s(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
