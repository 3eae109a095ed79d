"""The energy of a denoiser's Jacobian at pairs of noise levels, and the errors made of it.

J u is taken by two backward passes: the gradient of w . J^T along u does not depend on w. It works
through attention where forward derivatives do not, in the mathematical form of attention.
"""

import io
import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save
from torch import Generator, Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from repro.engine.datasets import Points
from repro.engine.edm.codec import encode, on_channels
from repro.engine.edm.precondition import denoiser, to_variance_exploding, to_variance_preserving
from repro.engine.objectives.images import draw_indices, examples
from repro.engine.paths.cheapest import errors
from repro.engine.paths.grid import Grid
from repro.engine.probes.probe import Findings, Left, Subject, Value
from repro.engine.seeds import seeded
from repro.errors import RunError
from repro.spec.edm import Edm, num_scales
from repro.spec.path import Gamma
from repro.spec.probes.jacobian_heatmap import JacobianHeatmap

Energies = NDArray[np.float64]
CELL = 12


def jacobian_heatmap(spec: JacobianHeatmap, subject: Subject) -> Findings:
    """The energies, and over how many orders errors go under each change of variables.

    Raises:
        RunError: for a network of another objective than `edm`, or of a single scale.
    """
    objective = subject.training.objective
    if not isinstance(objective, Edm) or num_scales(objective.codec) == 1:
        msg = f"probe {spec.kind}: needs a network of objective edm with several scales"
        raise RunError(msg)
    sigmas = Grid(
        steps=spec.num_levels, sigma_min=spec.sigma_min, sigma_max=spec.sigma_max, rho=spec.rho
    ).of(spec.num_levels)
    energies = _measured(spec, subject, objective, sigmas)
    found = {gamma: errors(energies[..., :2], sigmas, gamma=gamma) for gamma in get_args(Gamma)}
    tables = {f"errors_{gamma}": value for gamma, value in found.items()}
    num = spec.num_levels**2
    return Findings(
        values=tuple(_spans(energies, found, num)),
        files=(
            Left(
                role="heatmap",
                name="heatmap.safetensors",
                data=save({"sigmas": sigmas, "energies": energies, **tables}),
            ),
            Left(
                role="picture",
                name="heatmap.png",
                data=picture([energies[..., :2], *found.values()]),
                media_type="image/png",
            ),
        ),
        facts={
            "panels": ["energy", *(f"gamma {each}" for each in found)],
            "rows": ["finest scale", "coarse scale"],
        },
    )


def energies_of(
    denoise: Callable[[Tensor], Tensor], state: Tensor, *, scales: int, directions: Tensor
) -> Tensor:
    """Per scale [S]: mean over images of ||J_s||_F^2 / (H W)^2, J the Jacobian of *denoise*.

    *state* is [B, C, H, W], *directions* of +1 and -1 are [K, B, C, H, W].
    """
    state = state.detach().requires_grad_()
    output = denoise(state)
    dual = torch.zeros_like(output, requires_grad=True)
    (pulled,) = torch.autograd.grad(output, state, dual, create_graph=True)
    places = state.shape[2] * state.shape[3]
    total = torch.zeros(scales, dtype=torch.float64)
    for index, signs in enumerate(directions):
        kept = index < len(directions) - 1
        (pushed,) = torch.autograd.grad(pulled, dual, signs / math.sqrt(places), retain_graph=kept)
        by_scale = pushed.detach().double().unflatten(1, (scales, -1))  # type: ignore[no-untyped-call]
        total += by_scale.square().sum(dim=(2, 3, 4)).mean(dim=0).cpu() / places
    return total / len(directions)


def share_of_others(values: NDArray[np.float64], *, own: int) -> float:
    """The part of the variance of *values* [G, G] that the level of axis *own* does not explain."""
    within = values.var(axis=1 - own).mean()
    whole = values.var()
    return float(within / whole) if whole else 0.0


def picture(pairs: list[NDArray[np.float64]]) -> bytes:
    """Logarithms of tables [G, G, 2], a panel each: dark is small, each panel by itself."""
    rows = [
        np.concatenate([_panel(pair[..., scale]) for pair in pairs], axis=1) for scale in (0, 1)
    ]
    file = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(file, "PNG")
    return file.getvalue()


def _measured(
    spec: JacobianHeatmap, subject: Subject, objective: Edm, sigmas: NDArray[np.float64]
) -> Energies:
    scales = num_scales(objective.codec)
    network = subject.network("ema").requires_grad_(requires_grad=False)
    clean = _states(spec, subject, objective)
    generator = seeded("probe", spec.kind, spec.seed)
    noise = torch.randn(clean.shape, generator=generator).to(subject.device)
    signs = _signs((spec.num_probes, *clean.shape), generator).to(subject.device)
    denoise = denoiser(network, sigma_data=objective.sigma_data)
    energies = np.zeros((len(sigmas), len(sigmas), scales))
    shown = subject.progress.track("heatmap", len(sigmas))
    with shown as advance, sdpa_kernel(SDPBackend.MATH):
        for fine, sigma_fine in enumerate(sigmas):
            for coarse, sigma_coarse in enumerate(sigmas):
                levels = clean.new_tensor([[sigma_fine, *[sigma_coarse] * (scales - 1)]])
                energies[fine, coarse] = energies_of(
                    _at_constant_variance(denoise, levels.expand(len(clean), -1)),
                    _noised(spec, clean, noise, levels),
                    scales=scales,
                    directions=signs,
                )
            advance(1)
    return energies


def _at_constant_variance(denoise: Any, levels: Tensor) -> Callable[[Tensor], Tensor]:
    def denoised(state: Tensor) -> Tensor:
        output: Tensor = denoise(to_variance_exploding(state, levels), levels)
        return output

    return denoised


def _noised(spec: JacobianHeatmap, clean: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
    state = clean + on_channels(levels, clean) * noise
    return state if spec.noised == "exploding" else to_variance_preserving(state, levels)


def _states(spec: JacobianHeatmap, subject: Subject, objective: Edm) -> Tensor:
    data = subject.data()
    if isinstance(data, Points):
        msg = f"probe {spec.kind}: the training's data are points; expected images"
        raise RunError(msg)
    generator = seeded("probe", spec.kind, "images", spec.seed)
    chosen = draw_indices(len(data.labels), spec.num_images, generator=generator)
    return encode(objective.codec, examples(data, chosen, generator=generator)).to(subject.device)


def _signs(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return 2 * torch.randint(0, 2, shape, generator=generator).float() - 1


def _spans(energies: Energies, found: dict[Gamma, Energies], num: int) -> list[Value]:
    """Orders of magnitude of the finest scale's numbers, and what other scales' levels decide."""
    tables = {"energy": energies[..., :2]} | {
        f"gamma_{gamma}": each for gamma, each in found.items()
    }
    values = []
    for name, table in tables.items():
        logs = np.log10(np.maximum(table, np.finfo(np.float64).tiny))
        values.append(
            Value(
                metric=f"orders_{name}", value=float(np.ptp(logs[..., 0])), num=num, unit="decades"
            )
        )
        for scale, which in enumerate(("finest", "coarse")):
            share = share_of_others(logs[..., scale], own=scale)
            values.append(
                Value(metric=f"others_{name}_{which}", value=share, num=num, unit="of the variance")
            )
    return values


def _panel(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    logs = np.log10(np.maximum(values, np.finfo(np.float64).tiny))
    spread = float(np.ptp(logs)) or 1.0
    grey = np.rint(255 * (logs - logs.min()) / spread).astype(np.uint8)
    cells: NDArray[np.uint8] = np.pad(
        grey.repeat(CELL, axis=0).repeat(CELL, axis=1), 2, constant_values=255
    )
    return cells
