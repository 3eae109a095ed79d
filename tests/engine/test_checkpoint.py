"""A checkpoint holds everything, and fits only what it was made of."""

import pytest
import torch
from attrs import evolve
from safetensors.torch import load
from torch import nn
from torch.optim import AdamW

from repro.engine import checkpoint
from repro.engine.ema import shadow_of
from repro.errors import RunError
from tests.engine import fakes


def trained() -> tuple[nn.Module, AdamW]:
    network = fakes.network(dropout=0.0)
    optimizer = AdamW(network.parameters(), lr=0.1)
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return network, optimizer


def packed() -> checkpoint.Checkpoint:
    network, optimizer = trained()
    shadow = {name: value + 1 for name, value in network.state_dict().items()}
    return checkpoint.pack(1, network=network, shadow=shadow, optimizer=optimizer)


def restore(from_: checkpoint.Checkpoint, network: nn.Module) -> None:
    checkpoint.restore(
        from_,
        network=network,
        shadow=shadow_of(network.state_dict()),
        optimizer=AdamW(network.parameters()),
    )


def test_a_restored_state_packs_into_the_same_bytes():
    """Nothing is lost on the way out and in."""
    network = fakes.network()
    optimizer = AdamW(network.parameters(), lr=0.1)
    shadow = shadow_of(network.state_dict())

    checkpoint.restore(packed(), network=network, shadow=shadow, optimizer=optimizer)

    again = checkpoint.pack(1, network=network, shadow=shadow, optimizer=optimizer)
    assert again == packed()


def test_names():
    """Weights come raw and averaged; the state has AdamW's moments and the step."""
    saved = packed()

    assert {name.split(".")[0] for name in load(saved.weights)} == {"raw", "ema"}
    assert {".".join(name.split(".")[:2]) for name in load(saved.state)} == {
        "step",
        "moments.step",
        "moments.exp_avg",
        "moments.exp_avg_sq",
    }


def test_raw_and_averaged_weights():
    """Sampling chooses between the two."""
    network = fakes.network()
    checkpoint.load_weights(network, packed().weights, which="raw")
    raw = network.state_dict()["0.bias"].clone()

    checkpoint.load_weights(network, packed().weights, which="ema")

    assert torch.equal(network.state_dict()["0.bias"], raw + 1)


def test_another_network_is_refused_with_every_difference():
    """Missing, unexpected and misshapen names are all reported at once."""
    other = nn.Sequential(nn.Linear(4, 9), nn.Linear(9, 4))

    with pytest.raises(RunError) as caught:
        checkpoint.load_weights(other, packed().weights, which="ema")

    assert list(caught.value.problems) == [
        "checkpoint: ema weights: missing 1.bias, 1.weight",
        "checkpoint: ema weights: unexpected 3.bias, 3.weight",
        "checkpoint: ema weights: 0.bias has shape [8], expected [9]",
        "checkpoint: ema weights: 0.weight has shape [8, 4], expected [9, 4]",
    ]


def test_a_state_of_another_step_is_refused():
    """Weights and state that do not belong together stop the run."""
    with pytest.raises(RunError, match="is of step 1, expected step 2"):
        restore(evolve(packed(), step=2), fakes.network())


def test_damaged_bytes_are_refused():
    """A cut file is named as damaged."""
    cut = evolve(packed(), state=packed().state[:100])

    with pytest.raises(RunError, match="state file is damaged"):
        restore(cut, fakes.network())


def test_a_frozen_parameter_has_no_moments():
    """What is not trained needs no optimizer state, and resumes without it."""
    network = fakes.network()
    network.get_parameter("0.weight").requires_grad = False
    optimizer = AdamW([each for each in network.parameters() if each.requires_grad])
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    shadow = shadow_of(network.state_dict())
    saved = checkpoint.pack(1, network=network, shadow=shadow, optimizer=optimizer)

    checkpoint.restore(saved, network=network, shadow=shadow, optimizer=optimizer)

    assert "moments.step.0.weight" not in load(saved.state)
