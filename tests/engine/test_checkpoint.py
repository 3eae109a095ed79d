"""A checkpoint holds everything, and fits only what it was made of."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
import torch
from attrs import evolve
from safetensors.torch import load
from torch import Tensor, nn
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


def packed(objective: Mapping[str, Tensor] = MappingProxyType({})) -> checkpoint.Checkpoint:
    network, optimizer = trained()
    shadow = {name: value + 1 for name, value in network.state_dict().items()}
    return checkpoint.pack(
        1, network=network, shadow=shadow, optimizer=optimizer, objective=objective
    )


def restore(
    from_: checkpoint.Checkpoint,
    network: nn.Module,
    objective: Mapping[str, Tensor] = MappingProxyType({}),
) -> None:
    checkpoint.restore(
        from_,
        network=network,
        shadow=shadow_of(network.state_dict()),
        optimizer=AdamW(network.parameters()),
        objective=objective,
    )


def test_a_restored_state_packs_into_the_same_bytes():
    """Nothing is lost on the way out and in."""
    network = fakes.network()
    optimizer = AdamW(network.parameters(), lr=0.1)
    shadow = shadow_of(network.state_dict())
    memory = {"bank": torch.zeros(2, 3, dtype=torch.uint8)}
    before = packed({"bank": torch.arange(6, dtype=torch.uint8).view(2, 3)})

    checkpoint.restore(
        before, network=network, shadow=shadow, optimizer=optimizer, objective=memory
    )

    again = checkpoint.pack(
        1, network=network, shadow=shadow, optimizer=optimizer, objective=memory
    )
    assert again == before


def test_names():
    """Weights come raw and averaged; the state has the step, AdamW's and the objective's."""
    saved = packed({"bank.entries": torch.zeros(2)})

    assert {name.split(".")[0] for name in load(saved.weights)} == {"raw", "ema"}
    assert {".".join(name.split(".")[:2]) for name in load(saved.state)} == {
        "step",
        "moments.step",
        "moments.exp_avg",
        "moments.exp_avg_sq",
        "objective.bank",
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


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({}, "objective state: unexpected bank"),
        ({"ring": torch.zeros(2)}, "objective state: missing ring"),
        ({"bank": torch.zeros(3)}, r"objective state: bank has shape \[2\], expected \[3\]"),
    ],
)
def test_the_state_of_another_objective_is_refused(objective: dict[str, Tensor], message: str):
    """What an objective did not leave is not put into it."""
    with pytest.raises(RunError, match=message):
        restore(packed({"bank": torch.zeros(2)}), fakes.network(), objective)


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
    parts: Any = {"network": network, "shadow": shadow, "optimizer": optimizer, "objective": {}}
    saved = checkpoint.pack(1, **parts)

    checkpoint.restore(saved, **parts)

    assert "moments.step.0.weight" not in load(saved.state)
