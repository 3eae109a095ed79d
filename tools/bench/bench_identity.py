"""Spec to id: how fast for a spec of about 60 fields, and how distinct for 100,000 random ones.

Run `python tools/bench/bench_identity.py`. The peer is signac's rule, the MD5 of sorted JSON: it
checks nothing, fills in no default, and gives 1 and 1.0 two ids. Times are CPU seconds, the best
of five rounds.
"""

import hashlib
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from repro.errors import SpecError
from repro.spec import dump, load, run_id, structure

ROUNDS = 2_000
NUM_RANDOM = 100_000
DIGEST = f"sha256:{'0' * 64}"

HOSTILE = {
    "ten megabytes of brackets": "a = " + "[" * 10_000_000,
    "nested brackets": "a = " + "[" * 100_000,
    "ten thousand keys": "".join(f"key{number} = 1\n" for number in range(10_000)),
    "ten thousand tables": "".join(f"[t{number}]\na = 1\n" for number in range(10_000)),
    "a million runs": f"[sweep]\na = {[0] * 1000}\nb = {[0] * 1000}\n",
}

FULL: dict[str, Any] = {
    "schema": 1,
    "title": "A spec of about 60 fields",
    "data": {"kind": "cifar10"},
    "network": {"kind": "unet2d", "channels": [64, 128, 128, 256]},
    "objective": {"kind": "denoise", "schedule": {"kind": "linear"}},
    "train": {
        "steps": 20_000,
        "seed": 0,
        "lr": 2e-4,
        "lr_schedule": {"kind": "cosine", "warmup_steps": 500},
        "ema": {"kind": "warmup"},
        "clip_norm": 1.0,
    },
    "protocol": {
        "reference": {"kind": "shipped", "name": "cifar10-test", "digest": DIGEST},
        "metrics": [{"kind": "fid"}, {"kind": "kid"}, {"kind": "prc"}],
    },
    "evaluate": [
        {
            "name": "final",
            "sample": {
                "kind": "checkpoint",
                "sampler": {"kind": "ddim", "steps": 50},
                "num_samples": 2_049,
            },
        },
        {
            "name": "real",
            "sample": {"kind": "dataset", "data": {"kind": "cifar10"}, "num_samples": 2_049},
        },
    ],
}


def main() -> None:
    """Print the figures; exit with 1 if two specs share an id."""
    data = dump(structure(FULL))
    print(f"fields in the spec: {num_fields(data)}")
    print(f"spec to id: {rate(named, data):,.0f} a second (structure, canonical bytes, digest)")
    print(f"peer, unchecked data to id: {rate(signac_id, data):,.0f} a second")
    started_s = time.process_time()
    ids = {run_id(structure(each)) for each in random_specs(NUM_RANDOM)}
    elapsed_s = time.process_time() - started_s
    print(f"distinct ids of {NUM_RANDOM:,} distinct specs: {len(ids):,} in {elapsed_s:.1f} s")
    for name, text in HOSTILE.items():
        print(f"refused in {seconds_to_refuse(text):.3f} s of CPU: {name}")
    if len(ids) != NUM_RANDOM:
        raise SystemExit(1)


def seconds_to_refuse(text: str) -> float:
    """CPU seconds until a hostile file is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hostile.toml"
        path.write_text(text, encoding="utf-8")
        started_s = time.process_time()
        with suppress(SpecError):
            load(path)
            raise SystemExit(f"accepted a hostile file: {text[:80]}")
        return time.process_time() - started_s


def num_fields(data: Any) -> int:
    """The values at the ends of a spec's tables and arrays."""
    if isinstance(data, dict):
        return sum(num_fields(value) for value in data.values())
    if isinstance(data, list):
        return sum(num_fields(value) for value in data)
    return 1


def named(data: dict[str, Any]) -> str:
    """The id of the spec that plain data describe."""
    return run_id(structure(data))


def signac_id(data: dict[str, Any]) -> str:
    """The id that signac gives plain data."""
    return hashlib.md5(json.dumps(data, sort_keys=True).encode()).hexdigest()


def rate(function: Callable[[dict[str, Any]], str], data: dict[str, Any]) -> float:
    """Calls in a CPU second: the best of five rounds."""
    return max(_rate(function, data) for _ in range(5))


def _rate(function: Callable[[dict[str, Any]], str], data: dict[str, Any]) -> float:
    started_s = time.process_time()
    for _ in range(ROUNDS):
        function(data)
    return ROUNDS / (time.process_time() - started_s)


def random_specs(num: int) -> Iterator[dict[str, Any]]:
    """Distinct specs: neighbouring values in many fields, as a study would have them."""
    draw = random.Random(0)
    seen: set[str] = set()
    while len(seen) < num:
        train = {
            "steps": draw.randint(1, 40),
            "seed": draw.randint(0, 40),
            "lr": draw.choice([1e-4, 1.0000000000000002e-4, 2e-4, 1e-3]),
            "weight_decay": draw.choice([0, 1e-300, 1e-6, 1]),
            "accumulate": draw.randint(1, 4),
            "clip_norm": draw.choice([float("inf"), 1, 1.5]),
            "ema": {"kind": draw.choice(["constant", "warmup"]), "decay": draw.random()},
        }
        network = {"channels": [32 * draw.randint(1, 4) for _ in range(4)]}
        key = repr((train, network))
        if key not in seen:
            seen.add(key)
            yield {
                **FULL,
                "train": train,
                "network": {"kind": "unet2d", **network},
            }


if __name__ == "__main__":
    main()
