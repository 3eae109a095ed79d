"""What the common loop and the common sampling job cost, against the same network without them.

Run `python tools/bench/bench_loop.py [--write]`. The peer of the loop is a training loop as one
writes it by hand: the same loss, AdamW, clipping, rates and average; no ledger, no random streams,
no finite checks, no line of progress. Both loops do every update in turn, on a network of their
own, and end in the same bits, or the benchmark stops. The peer of sampling is nothing but the
network calls that our sampler made, made again on the same inputs; ours goes on to the bytes of
images. What it costs to hash and keep them, with their picture, is told beside it.

Told apart by CPU time, of which the lower quartile of each side counts: a busy machine only adds to
it. In training it is that of the main thread; what other threads take, which write the ledger, is
added to ours by the second. Exits with 1 if a family costs 2 % or more in training, or more than
3 % in sampling.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attrs import evolve, field, frozen
from results import table, write_section
from safetensors.numpy import save
from torch import Tensor, nn
from torch.optim import AdamW

from repro.engine import ema
from repro.engine.builders import Materials, builder_of
from repro.engine.checkpoint import Checkpoint, weights_of
from repro.engine.datasets import Images
from repro.engine.edm.codec import seen_shape
from repro.engine.lr import learning_rate
from repro.engine.objectives.objective import CountsImages, Objective
from repro.engine.randomness import randomness_of
from repro.engine.sampling import Samples, sample_images
from repro.engine.seeds import global_stream, seeded
from repro.engine.sheet import sheet
from repro.engine.stages.sample import BATCH_SIZE
from repro.engine.stages.train import note_of
from repro.engine.train import train
from repro.ledger import segment, store
from repro.ledger.records import Start
from repro.spec import Spec, load
from repro.spec.data import StandIn
from repro.spec.layout import layout
from repro.spec.sample import FromCheckpoint
from repro.spec.train import Train

ROOT = Path(__file__).parents[2]
MOST_TRAINING, MOST_SAMPLING = 0.02, 0.03
STAGE = "0" * 32


@frozen(kw_only=True)
class Size:
    """A spec that is trained on two cores: how many updates of it, and one of its evaluations.

    The evaluation samples as its spec says, but for at most *images* images.
    """

    spec: str
    evaluation: str
    updates: int
    images: int = 2048


SIZES = {
    "drifting, 32 x 32, first steps": Size(
        spec="specs/quickstart/cifar10.toml", evaluation="trained", updates=8
    ),
    "drifting, 32 x 32": Size(
        spec="specs/cifar10/drifting.toml", evaluation="alpha-1.0", updates=4
    ),
    "DDPM of E7, digits": Size(spec="specs/e7/digits.toml", evaluation="ddpm-50", updates=150),
    "DDPM of E7, 32 x 32": Size(
        spec="specs/e7/e7a-2000.toml", evaluation="ddpm-50", updates=20, images=64
    ),
    "multi-scale EDM, digits": Size(
        spec="specs/slot/digits.toml", evaluation="sync", updates=60, images=128
    ),
    "conditional v-prediction, digits": Size(
        spec="specs/stl10/digits.toml", evaluation="cfg-3.0", updates=100
    ),
}


@frozen(kw_only=True, eq=False)
class Family:
    """A spec with its data and, if it drifts in features, an encoder of them."""

    spec: Spec
    data: Images
    encoder: nn.Module | None
    sample: FromCheckpoint

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(seen_shape(self.spec.objective, self.data.shape))

    def network(self) -> nn.Module:
        built: nn.Module = builder_of(self.spec.network)(self.spec.network, self.shape)
        return built

    def objective(self) -> Objective:
        given = Materials(data=self.data, network=self.spec.network, encoder=self.encoder)
        built: Objective = builder_of(self.spec.objective)(self.spec.objective, given)
        return built


@frozen(kw_only=True)
class Cost:
    """CPU seconds of the peer, and how much more ours takes."""

    bare_s: float
    more_s: float

    @property
    def share(self) -> float:
        return self.more_s / self.bare_s


def main() -> int:
    """Print the table; refuse what costs too much."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=7, help="of sampling")
    options.add_argument("--only", nargs="*", choices=list(SIZES), default=list(SIZES))
    options.add_argument("--conditions", default="", help="a sentence on what else was running")
    options.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = options.parse_args()
    torch.set_num_threads(1)
    rows, slow = [], False
    for name in given.only:
        size = SIZES[name]
        family = opened(size)
        training = trained(family, updates=size.updates)
        sampling, files_s, nfe = sampled(family, rounds=given.rounds)
        slow |= training.share >= MOST_TRAINING or sampling.share > MOST_SAMPLING
        rows.append(
            [
                name,
                f"{training.bare_s * 1e3:,.1f}",
                f"{training.more_s * 1e6:+,.0f}",
                f"{training.share:+.2%}",
                f"{family.sample.num_samples:,}",
                str(nfe),
                f"{sampling.bare_s:,.2f}",
                f"{sampling.more_s * 1e3:+,.1f}",
                f"{sampling.share:+.2%}",
                f"{files_s * 1e3:,.1f}",
            ]
        )
        print(*rows[-1], sep="  ", file=sys.stderr)
    columns = ["family", "ms an update, bare", "our loop, us more", "is"]
    columns += [
        "images",
        "calls an image",
        "s of calls",
        "our sampling, ms more",
        "is",
        "files, ms",
    ]
    text = table(columns, rows)
    print(text)
    if given.write:
        write_section("The common loop (`bench_loop.py`)", f"{said(given)}\n\n{text}")
    return int(slow)


def said(given: argparse.Namespace) -> str:
    """What a reader must know of the figures."""
    return f"""\
CPU time on one thread, lower quartiles. An update of ours and one by hand take turns, from the
same bits to the same bits; {given.rounds} times of sampling and its network calls do too. Every
update is logged in a ledger. Sampling ends with the images as bytes; their file and their picture,
hashed, synced and stored, are the last column. Networks have the size of the spec and are
untrained, data are stand-ins of the same shape; samplers take the steps of the spec, in batches of
{BATCH_SIZE}, for as many images as the table says. The targets are 2 % and 3 %.
{given.conditions}""".strip()


def opened(size: Size) -> Family:
    (spec, *_) = load(ROOT / size.spec)
    assert spec.objective
    stand_in = _stand_in(spec)
    data = builder_of(stand_in)(stand_in, Path())
    (sample, *_) = [each.sample for each in spec.evaluate if each.name == size.evaluation]
    assert isinstance(sample, FromCheckpoint)
    return Family(
        spec=spec,
        data=data,
        encoder=_encoder(spec.encoder, data),
        sample=evolve(sample, num_samples=min(sample.num_samples, size.images)),
    )


def _encoder(spec: Any, data: Images) -> nn.Module | None:
    return builder_of(spec)(spec, data.shape, data.num_classes) if spec else None


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


def trained(family: Family, *, updates: int) -> Cost:
    """An update of our loop, against one by hand; the first of each is not counted."""
    assert family.spec.train
    spec = evolve(family.spec.train, steps=updates + 1, checkpoint_every=updates + 1)
    network, objective = family.network(), family.objective()
    peer = ByHand(spec=spec, network=deepcopy(network), objective=family.objective())
    ours: list[float] = []
    bare: list[float] = []
    kept: list[Checkpoint] = []
    with ledger() as open_segment:
        began_at = time.thread_time()
        others_s = time.process_time() - began_at

        def on_progress(step: int, values: Mapping[str, float]) -> None:
            nonlocal began_at
            open_segment.log(STAGE, step, values)
            note_of(objective, values)
            ours.append(time.thread_time() - began_at)
            bare.append(peer.update(step - 1))
            began_at = time.thread_time()

        train(spec, network, objective, on_checkpoint=kept.append, on_progress=on_progress)
        others_s = time.process_time() - time.thread_time() - others_s
    refuse_other_work(kept[-1], peer)
    others = others_s / (sum(ours) + sum(bare))
    return cost([each * (1 + others) for each in ours[1:]], bare[1:])


@frozen(kw_only=True, eq=False)
class ByHand:
    """A training loop without anything around it."""

    spec: Train
    network: nn.Module
    objective: Objective
    weights: list[Tensor] = field(init=False)
    shadow: list[Tensor] = field(init=False)
    optimizer: AdamW = field(init=False)

    @weights.default
    def _weights(self) -> list[Tensor]:
        return [each.detach() for each in self.network.train().parameters()]

    @shadow.default
    def _shadow(self) -> list[Tensor]:
        return [each.clone() for each in self.weights]

    @optimizer.default
    def _optimizer(self) -> AdamW:
        given = self.spec
        rest: Any = {"betas": given.betas, "eps": given.eps, "weight_decay": given.weight_decay}
        return AdamW(self.network.parameters(), lr=given.lr, fused=True, **rest)

    def update(self, step: int) -> float:
        """CPU seconds of one; its random streams are set before the clock starts."""
        given = self.spec
        micros = range(given.accumulate)
        generators = [seeded("train", given.seed, step, micro) for micro in micros]
        streams = [global_stream("dropout", given.seed, step, micro) for micro in micros]
        torch.use_deterministic_algorithms(mode=False)
        spent_s = 0.0
        for micro in micros:
            with streams[micro]:
                began_at = time.thread_time()
                if micro == 0:
                    self.optimizer.zero_grad(set_to_none=True)
                out = self.objective.loss(
                    self.network, step=step, micro=micro, generator=generators[micro]
                )
                (out.loss / given.accumulate).backward()  # type: ignore[no-untyped-call]
                spent_s += time.thread_time() - began_at
        began_at = time.thread_time()
        self._step(step)
        spent_s += time.thread_time() - began_at
        torch.use_deterministic_algorithms(mode=True)
        return spent_s

    def _step(self, step: int) -> None:
        given, objective = self.spec, self.objective
        num = given.accumulate * objective.num_images if isinstance(objective, CountsImages) else 0
        nn.utils.clip_grad_norm_(self.network.parameters(), given.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(given, step=step, num_images=num)
        self.optimizer.step()
        decay = ema.decay_at(given.ema, step=step, num_images=num)
        torch._foreach_lerp_(self.shadow, self.weights, 1 - decay)


def refuse_other_work(ours: Checkpoint, peer: ByHand) -> None:
    """Stop unless both loops have come to the same weights and the same average."""
    like = peer.network.state_dict()
    names = [name for name, _ in peer.network.named_parameters()]
    for which, theirs in (("raw", peer.weights), ("ema", peer.shadow)):
        found = weights_of(ours.weights, which, like=like)
        if not all(found[name].equal(each) for name, each in zip(names, theirs, strict=True)):
            sys.exit(f"the two loops did not do the same work: their {which} weights differ")


@contextmanager
def ledger() -> Iterator[segment.Segment]:
    with tempfile.TemporaryDirectory() as folder:
        start = Start(purpose="run", run_id=STAGE)
        with segment.begin(Path(folder), start) as open_segment:
            yield open_segment


def sampled(family: Family, *, rounds: int) -> tuple[Cost, float, int]:
    """Sampling, against its network calls alone; seconds to keep the images; calls for each."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    network = family.network().eval()

    def ours() -> Samples:
        return sample_images(
            family.sample,
            network,
            objective=family.spec.objective,
            randomness=randomness_of(family.spec.network, family.shape),
            num_classes=family.data.num_classes,
            batch_size=BATCH_SIZE,
            advance=lambda amount, note="": None,
        )

    def alone() -> None:
        with torch.inference_mode():
            for inputs, named in calls:
                network(*inputs, **named)

    def keep(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if len(inputs[0]) == BATCH_SIZE:  # others ask whether labels are heeded, and are no samples
            calls.append((inputs, named))

    hook = network.register_forward_pre_hook(keep, with_kwargs=True)
    made = ours()
    hook.remove()
    with tempfile.TemporaryDirectory() as folder:
        roots = (Path(folder) / str(number) for number in range(rounds))
        seconds = [
            (cpu_s(ours), cpu_s(alone), cpu_s(partial(store_of, made, root))) for root in roots
        ]
    spent, bare, files = zip(*seconds, strict=True)
    return cost(spent, bare), lower_quartile(files), made.nfe


def store_of(made: Samples, root: Path) -> None:
    """What a job keeps of its images."""
    arrays: dict[str, Any] = {"images": made.images, "sources": made.seeds, "labels": made.labels}
    store.put_bytes(root, save(arrays))
    store.put_bytes(root, sheet(made.images))


def cost(ours: Sequence[float], bare: Sequence[float]) -> Cost:
    """By the lower quartile of either."""
    return Cost(bare_s=lower_quartile(bare), more_s=lower_quartile(ours) - lower_quartile(bare))


def lower_quartile(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=4, method="inclusive")[0]


def cpu_s(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
