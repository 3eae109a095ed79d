"""The energy of a Jacobian, estimated without it; and what a grid of energies says."""

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load
from torch import Tensor, nn

from repro.engine.datasets import Images
from repro.engine.probes.jacobian_heatmap import (
    energies_of,
    jacobian_heatmap,
    picture,
    share_of_others,
)
from repro.engine.progress import Silent
from repro.spec.edm import Edm, TorusPyramid
from repro.spec.probes.jacobian_heatmap import JacobianHeatmap

SCALES, CHANNELS, SIDE = 3, 6, 2
SIZE = CHANNELS * SIDE * SIDE
STATE = torch.zeros(2, CHANNELS, SIDE, SIDE)


def signs(num: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randint(0, 2, (num, *STATE.shape), generator=generator).float() - 1


def linear(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda state: (state.flatten(1) @ matrix.T).reshape(state.shape)


def norms(matrix: Tensor) -> list[float]:
    """||J_s||_F^2 / (H W)^2 for the rows of every scale."""
    return [float(each.square().sum()) / SIDE**4 for each in matrix.chunk(SCALES)]


def test_a_diagonal_map_is_measured_exactly():
    """Directions of +1 and -1 have no variance there."""
    matrix = torch.diag(torch.arange(1.0, SIZE + 1))

    found = energies_of(linear(matrix), STATE, scales=SCALES, directions=signs(1))

    assert found.tolist() == pytest.approx(norms(matrix), rel=1e-5)


def test_any_map_is_measured_without_bias():
    """The mean over many directions is the squared Frobenius norm of a scale's rows."""
    matrix = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(1))

    found = energies_of(linear(matrix), STATE, scales=SCALES, directions=signs(2000))

    assert found.tolist() == pytest.approx(norms(matrix), rel=0.05)


def test_two_backward_passes_agree_with_differences():
    """J u of a map that is not linear, against a central difference."""
    matrix = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    inner = linear(matrix / 8)
    state = torch.randn(STATE.shape, generator=torch.Generator().manual_seed(2)).double()

    def map_of(value: Tensor) -> Tensor:
        return inner(value.float()).double().tanh() * value

    [direction] = signs(1)
    found = energies_of(map_of, state, scales=SCALES, directions=direction[None].double())
    step = 1e-3 * direction / SIDE
    moved = (map_of(state + step) - map_of(state - step)) / 2e-3
    expected = moved.square().flatten(2).sum(2).unflatten(1, (SCALES, -1)).sum(2).mean(0) / SIDE**2

    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-2)


def test_what_depends_on_its_own_level_alone_owes_nothing_to_others():
    """Rows that are constant along the other axis, and columns that are not."""
    own = np.arange(5.0)[:, None].repeat(4, axis=1)

    assert share_of_others(own, own=0) == 0
    assert share_of_others(own, own=1) == pytest.approx(1)
    assert share_of_others(own + np.arange(4.0), own=0) == pytest.approx(1.25 / 3.25)


def test_the_picture_has_a_panel_for_each_table():
    """Two rows, the finest scale above."""
    tables = [np.exp(np.random.RandomState(i).standard_normal((3, 3, 2))) for i in range(5)]

    with Image.open(io.BytesIO(picture(tables))) as image:
        assert image.size == (5 * (3 * 12 + 4), 2 * (3 * 12 + 4))


class Nothing(nn.Module):
    """A network that puts out zeros, and remembers how large its input was at which levels."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[list[float], list[float]]] = []

    def forward(self, scaled: Tensor, levels: Tensor) -> Tensor:
        sizes = [
            float(each.detach().square().mean().sqrt()) for each in scaled.chunk(SCALES, dim=1)
        ]
        self.seen.append(((4 * levels[0]).exp().tolist(), sizes))
        return 0 * scaled


def measured(network: nn.Module, **told: Any) -> dict[str, np.ndarray]:
    """The tables of a heatmap of three levels, of digits of three scales."""
    data = Images(
        images=np.random.RandomState(0).randint(0, 256, (20, 8, 8, 1), dtype=np.uint8),
        labels=np.zeros(20, np.int64),
        num_classes=1,
        digest="",
    )
    subject: Any = SimpleNamespace(
        training=SimpleNamespace(objective=Edm(codec=TorusPyramid(), sigma_data=0.5)),
        network=lambda _: network,
        data=lambda: data,
        device="cpu",
        progress=Silent(),
    )
    spec = JacobianHeatmap(name="heatmap", num_levels=3, num_probes=1, **told)
    tables: dict[str, np.ndarray] = load(jacobian_heatmap(spec, subject).files[0].data)
    return tables


def test_the_energy_of_a_denoiser_that_only_scales_is_known():
    """D is then c_skip s z of the state z of constant variance, with s = sqrt(1 + sigma^2).

    Two channels of 64 places have an energy of 2 (c_skip s)^2 / 64, by their own level alone: that
    of the finest scale along the first axis, that of the coarse ones along the second.
    """
    found = measured(Nothing())

    sigmas = found["sigmas"]
    expected = 2 * (0.25 / (0.25 + sigmas**2)) ** 2 * (1 + sigmas**2) / 64
    assert found["energies"][:, 1, 0] == pytest.approx(expected, rel=1e-4)
    assert found["energies"][1, :, 2] == pytest.approx(expected, rel=1e-4)
    assert np.ptp(found["energies"][1, :, 0]) < 1e-9


@pytest.mark.parametrize("noised", ["as-trained", "exploding"])
def test_only_the_published_input_is_out_of_bounds(noised):
    """Under the bare noise the network is given inputs 80 times too large, else of size about 1."""
    network = Nothing()

    measured(network, noised=noised)

    noisiest = [size for sigmas, sizes in network.seen if sigmas[0] > 70 for size in sizes[:1]]
    assert noisiest == pytest.approx([80 if noised == "exploding" else 1] * 3, rel=0.1)
