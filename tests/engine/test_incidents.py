"""The incidents of the STL-10 log (seed 004), each with the guard that stops it now.

Others have their tests beside what guards them: a network without the layers that its condition
enters by and one that does not heed its label (`test_conditional`, `test_guidance`), one noise for
all classes (`test_sampling`: an image owns its seed), monitors that sample in a way of their own,
levels beyond the last and a perplexity beyond the table (`tests/data/invalid/diagnostics`).
"""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve

from repro.engine import builders
from repro.engine.checkpoint import load_weights, packed
from repro.engine.lr import learning_rate
from repro.engine.networks.unet_stl10 import unet_stl10
from repro.engine.plan import plan
from repro.engine.run import run
from repro.errors import RunError, SpecError
from repro.ledger import query
from repro.spec import load
from repro.spec.conditional import Labels, RandomTable, UNetStl10
from repro.spec.probes.denoising import CallCost
from repro.spec.train import CosineLr, Train
from tests.engine import tiny

VALID = Path(__file__).parents[1] / "data" / "valid"
SMALL = (16, 16, 16, 32, 16)


def weights(network: torch.nn.Module) -> bytes:
    return packed({f"ema.{name}": value for name, value in network.state_dict().items()})


def test_a_checkpoint_that_lacks_the_attention_is_not_loaded():
    """2025-09-23: weights were skipped at a resume, and the layers stayed as they were drawn.

    Every name that is missing, left over or of another shape is told.
    """
    labels = unet_stl10(UNetStl10(condition=Labels(), channels=SMALL, num_heads=2), (3, 8, 8))
    spec = UNetStl10(
        condition=RandomTable(dim=8), enters="cross-attention", channels=SMALL, num_heads=2
    )

    with pytest.raises(RunError, match=r"down\.0\.cross\.to_k\.weight") as caught:
        load_weights(unet_stl10(spec, (3, 8, 8)), weights(labels), which="ema")

    assert "condition.vectors.weight" in str(caught.value)


def test_the_rate_goes_by_updates():
    """The log counted its horizon in micro-batches and stepped once an update.

    Its warm-up was twice as long, and its cosine stopped at 0.53 of the peak. Here the warm-up ends
    and the cosine reaches its end where the spec says, whatever is accumulated.
    """
    updates, warmup = 4000, 200
    spec = Train(
        steps=updates,
        seed=0,
        lr=2e-4,
        accumulate=2,
        lr_schedule=CosineLr(warmup_steps=warmup),
    )
    logged = evolve(spec, steps=2 * updates, lr_schedule=CosineLr(warmup_steps=2 * warmup))

    assert learning_rate(spec, step=warmup - 1) == pytest.approx(2e-4)
    assert learning_rate(spec, step=updates - 1) == pytest.approx(0, abs=1e-12)
    assert learning_rate(logged, step=warmup - 1) == pytest.approx(1e-4)
    assert learning_rate(logged, step=updates - 1) / 2e-4 == pytest.approx(0.54, abs=0.01)
    assert math.isclose(learning_rate(spec, step=updates // 2), 1e-4, rel_tol=0.1)


def test_latents_are_not_clamped(tmp_path: Path):
    """2025-09-22: latents were cut to [-1, 1], a third of their values."""
    sound = (VALID / "trained-latents.toml").read_text("utf-8")
    text = sound.replace("clip = false", "clip = true")
    (tmp_path / "kl.toml").write_text((VALID / "kl.toml").read_text("utf-8"), encoding="utf-8")
    path = tmp_path / "clipped.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(SpecError, match=r"sampler\.clip: bounds what is predicted to \[-1, 1\]"):
        load(path)


def test_a_look_that_fails_is_recorded_as_failed(tmp_path: Path, monkeypatch: Any):
    """The log's monitors swallowed their exceptions, CLIP scores of latents among them."""

    def broken(spec: Any, subject: Any) -> Any:
        raise RunError("the look failed")

    monkeypatch.setattr(builders, "BUILDERS", {**builders.BUILDERS, CallCost: broken})
    text = tiny.DENOISE + '\n[[probe]]\nname = "cost"\nkind = "call-cost"\n'

    (outcome,) = run([tiny.write(tmp_path, text)], root=tmp_path / "ledger", cache=tmp_path / "c")

    assert outcome.status == "failed"
    assert "the look failed" in str(outcome.problems)
    ended = query(tmp_path / "ledger", "SELECT name, event FROM stage_events ORDER BY seq").rows
    assert ended[-1] == ("cost", "failed")


def test_a_plan_says_what_one_token_cannot_do(tmp_path: Path):
    """2025-09-21: attention to a single CLIP vector was to refine salient regions."""
    (spec,) = load(VALID / "conditional.toml")

    (warning,) = plan(spec, root=tmp_path / "ledger", cache=tmp_path / "cache").warnings

    assert "attention to one token does not depend on what asks" in warning
    assert "the weights of self-attention get no gradient" in warning
