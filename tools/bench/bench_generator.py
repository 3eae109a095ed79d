"""Images a second through the transformer generator's blocks, against the same without modules.

Run `python tools/bench/bench_generator.py [--write]`, on a quiet machine. The peer is the drifting
paper's block as one function on the same weights: `torch.nn.functional` alone, its attention one
call of `scaled_dot_product_attention`. A third row spells the attention out. Rounds take turns;
times are wall seconds, the best of the rounds. Exits with 1 if outputs or gradients differ by more
than rounding, or if ours has less than nine tenths of the peer's images a second.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping

import torch
from results import table, write_section
from torch import Tensor
from torch.nn import functional

from repro.engine.networks.dit import Dit, dit
from repro.spec import network as networks

LATENT = (4, 32, 32)
EPS = 1e-6
TOLERANCE = 1e-4
LEAST_RATIO = 0.9
OURS, PEER, SPELT_OUT = "repro", "plain functions", "plain functions, attention spelt out"

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
Blocks = Callable[[Tensor, Tensor], Tensor]


def main() -> int:
    """Print the table of speeds; refuse slow blocks and other numbers."""
    options = argparse.ArgumentParser()
    options.add_argument("--depth", type=int, default=2)
    options.add_argument("--images", type=int, default=4)
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--device", default="cpu")
    options.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = options.parse_args()
    torch.manual_seed(0)
    network = opened(dit(networks.Dit(depth=given.depth), LATENT)).to(given.device)
    routes: Mapping[str, Blocks] = {
        OURS: lambda x, condition: through_modules(network, x, condition),
        PEER: lambda x, condition: through_functions(
            network, x, condition, functional.scaled_dot_product_attention
        ),
        SPELT_OUT: lambda x, condition: through_functions(network, x, condition, spelt_out),
    }
    x = torch.randn(given.images, 272, 768, device=given.device)
    condition = torch.randn(given.images, 768, device=given.device)
    far = {
        name: apart(network, route, routes[PEER], x, condition) for name, route in routes.items()
    }
    forward = timed({name: forward_of(each, x, condition) for name, each in routes.items()}, given)
    both = timed({name: both_of(each, x, condition) for name, each in routes.items()}, given)
    rows = [
        [
            name,
            f"{given.images / forward[name]:.2f}",
            f"{forward[PEER] / forward[name]:.3f}",
            f"{given.images / both[name]:.2f}",
            f"{both[PEER] / both[name]:.3f}",
            f"{far[name]:.1e}",
        ]
        for name in routes
    ]
    columns = ["blocks", "images/s forward", "times the peer"]
    columns += ["images/s and backward", "times the peer", "largest difference"]
    text = table(columns, rows)
    print(text)
    if given.write:
        write_section(
            "Generator blocks (`bench_generator.py`)",
            f"{given.depth} blocks of B/2 (width 768, 272 tokens), {given.images} images, float32, "
            f"{given.device}, threads: {torch.get_num_threads()}, best of {given.rounds} rounds."
            "\n\n" + text,
        )
    slow = min(forward[PEER] / forward[OURS], both[PEER] / both[OURS]) < LEAST_RATIO
    return int(slow or max(far.values()) > TOLERANCE)


def opened(network: Dit) -> Dit:
    """The network with every gate away from zero, where nothing would be compared."""
    for block in network.blocks:
        torch.nn.init.normal_(block.modulation.weight, std=0.02)  # type: ignore[union-attr,arg-type]
    return network


def through_modules(network: Dit, x: Tensor, condition: Tensor) -> Tensor:
    for block in network.blocks:
        x = block(x, condition, network.rotation)
    return x


def through_functions(network: Dit, x: Tensor, condition: Tensor, attend: Attend) -> Tensor:
    """The same blocks as one loop on the weights."""
    num, tokens, width = x.shape
    heads = network.spec.num_heads
    cosine, sine = network.rotation.buffers()
    for block in network.blocks:
        w = dict(block.named_parameters())
        modulation = functional.linear(condition, w["modulation.weight"], w["modulation.bias"])
        shift, scale, gate, shift2, scale2, gate2 = modulation[:, None].chunk(6, dim=2)
        h = functional.rms_norm(x, (width,), w["attention_norm.weight"], EPS) * (1 + scale) + shift
        h = functional.linear(h, w["attention.qkv.weight"], w["attention.qkv.bias"])
        q, k, v = h.view(num, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        q = functional.rms_norm(q, q.shape[-1:], w["attention.query_norm.weight"], EPS)
        k = functional.rms_norm(k, k.shape[-1:], w["attention.key_norm.weight"], EPS)
        q1, q2 = q.chunk(2, dim=-1)
        k1, k2 = k.chunk(2, dim=-1)
        q = torch.cat([q1 * cosine - q2 * sine, q2 * cosine + q1 * sine], dim=-1)
        k = torch.cat([k1 * cosine - k2 * sine, k2 * cosine + k1 * sine], dim=-1)
        h = attend(q, k, v).transpose(1, 2).reshape(num, tokens, width)
        h = functional.linear(h, w["attention.output.weight"], w["attention.output.bias"])
        x = x + gate * h
        h = functional.rms_norm(x, (width,), w["feed_forward_norm.weight"], EPS)
        h = h * (1 + scale2) + shift2
        h = functional.linear(h, w["feed_forward.up.weight"], w["feed_forward.up.bias"])
        first, second = h.chunk(2, dim=-1)
        h = functional.silu(first) * second
        h = functional.linear(h, w["feed_forward.down.weight"], w["feed_forward.down.bias"])
        x = x + gate2 * h
    return x


def spelt_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    logits = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    return logits.softmax(dim=-1) @ v


def apart(network: Dit, route: Blocks, peer: Blocks, x: Tensor, condition: Tensor) -> float:
    """The largest difference of outputs and of gradients, each over the largest value."""
    weights = list(network.blocks.parameters())
    found, wanted = (
        [out, *torch.autograd.grad(out.square().mean(), weights)]
        for out in (each(x, condition) for each in (route, peer))
    )
    return max(
        float((one - other).detach().abs().max() / other.detach().abs().max())
        for one, other in zip(found, wanted, strict=True)
    )


def forward_of(blocks: Blocks, x: Tensor, condition: Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            blocks(x, condition)

    return run


def both_of(blocks: Blocks, x: Tensor, condition: Tensor) -> Callable[[], None]:
    def run() -> None:
        blocks(x, condition).square().mean().backward()  # type: ignore[no-untyped-call]

    return run


def timed(runs: Mapping[str, Callable[[], None]], given: argparse.Namespace) -> dict[str, float]:
    """The fewest seconds of each, after one round that is not counted."""
    seconds = {name: float("inf") for name in runs}
    for index in range(given.rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if given.device != "cpu":
                torch.cuda.synchronize()
            if index:
                seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
