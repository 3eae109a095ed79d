"""The transformer generator from a spec to samples, and through an interruption."""

import json
from pathlib import Path

import pytest

from repro.engine.checkpoint import Checkpoint
from repro.engine.datasets import Images
from repro.engine.datasets import load as load_data
from repro.engine.networks.dit import dit
from repro.engine.objectives.drifting import drifting
from repro.engine.run import run
from repro.engine.seeds import global_stream
from repro.engine.stages.table import STAGES
from repro.engine.train import train
from repro.ledger import query
from repro.spec.data import StandIn
from repro.spec.network import Dit
from repro.spec.objective import Drifting
from repro.spec.train import Train

VALID = Path(__file__).parents[1] / "data" / "valid" / "dit.toml"
NETWORK = Dit(
    depth=1, num_heads=1, head_dim=8, num_classes=3, num_style_tokens=2, num_style_codes=4
)
OBJECTIVE = Drifting(num_classes_per_step=2, num_generated=4, num_positive=4, num_unconditional=2)
TRAIN = Train(steps=4, seed=0, lr=1e-2, checkpoint_every=2)


def trained(resume: Checkpoint | None = None) -> list[Checkpoint]:
    """The checkpoints that a training of four updates leaves; or its rest, after one of them."""
    data = load_data(StandIn(height=8, width=8, num_classes=3, num_images=24), cache=Path())
    assert isinstance(data, Images)
    with global_stream("initialize", 0):
        network = dit(NETWORK, data.shape)
    left: list[Checkpoint] = []
    train(
        TRAIN,
        network,
        drifting(OBJECTIVE, data=data, network_spec=NETWORK),
        on_checkpoint=left.append,
        on_progress=lambda step, values: None,
        resume=resume,
    )
    return left


def test_an_interrupted_training_ends_in_the_same_bits():
    """Style indices and noise follow from seed and step, so nothing is lost between updates."""
    first, last = trained()

    assert trained(resume=first) == [last]
    assert first.weights != last.weights


def test_a_rehearsed_run_counts_one_call_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From a spec with the generator to its samples, each of one call; nothing is judged."""
    for kind in ("reference", "evaluate"):
        monkeypatch.setitem(STAGES, kind, lambda execution, stage: {"digest": "none"})

    (outcome,) = run([VALID], rehearse=True, root=tmp_path / "ledger", cache=tmp_path / "cache")

    rows = query(
        tmp_path / "ledger",
        "select facts from stage_events where stage_kind = 'sample' and event = 'done'",
    ).rows
    facts = [json.loads(row) for (row,) in rows]
    assert outcome.status == "done"
    assert [(each["nfe"], each["shape"], each["num_samples"]) for each in facts] == [
        (1, [32, 32, 3], 8)
    ]
