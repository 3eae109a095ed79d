"""A path on Gaussian data, with the exact denoiser of a fine scale beside a coarse one."""

import torch
from torch import Tensor

from repro.digest import canonical
from repro.engine.edm.exact import frechet, gaussian_denoiser, two_scales
from repro.engine.paths.table import table
from repro.engine.probes.probe import Findings, Left, Subject, Value
from repro.engine.samplers.heun import grid_of, integrate, started
from repro.errors import RunError
from repro.spec.edm import Heun
from repro.spec.identity import identity_data
from repro.spec.probes.gaussian_path import GaussianPath

NUM_SCALES = 2


def gaussian_path(spec: GaussianPath, subject: Subject) -> Findings:
    """Squared Frechet distance of the fine scale to the truth, and by how much it is too wide.

    Raises:
        RunError: for another sampler than `heun`, or a path that is not known or not for two
            scales.
    """
    del subject  # no network is asked
    if not isinstance(spec.sampler, Heun):
        msg = f"probe {spec.kind}: steps down a path, expected sampler heun, got"
        raise RunError(f"{msg} {spec.sampler.kind}")
    truth = two_scales(
        std=spec.std, correlation=spec.correlation, fine=spec.pixels, factor=spec.factor
    )
    found = sampled_covariance(spec.sampler, truth)[: spec.pixels, : spec.pixels]
    fine = truth[: spec.pixels, : spec.pixels]
    steps = spec.sampler.steps
    levels = table(spec.sampler.path, grid_of(spec.sampler), num_scales=NUM_SCALES).tolist()
    return Findings(
        values=(
            Value(metric="frechet", value=frechet(found, fine), num=steps, unit="squared distance"),
            Value(
                metric="spread_error",
                value=float((found.trace() / fine.trace()).sqrt()) - 1,
                num=steps,
                unit="of the true deviation",
            ),
        ),
        files=(
            Left(
                role="path",
                name="path.json",
                data=canonical({"sigmas": levels, "sampler": identity_data(spec.sampler)}),
                media_type="application/json",
            ),
        ),
    )


def sampled_covariance(spec: Heun, truth: Tensor) -> Tensor:
    """The covariance [D, D] of what the sampler makes of N(0, *truth*) with its exact denoiser.

    Sampling is linear there, so a batch of unit vectors tells all of it.
    """
    levels = table(spec.path, grid_of(spec), num_scales=NUM_SCALES)
    units = torch.eye(len(truth), dtype=torch.float64)[..., None, None]
    exact = gaussian_denoiser(torch.zeros(len(truth), dtype=torch.float64), truth)
    ended = integrate(exact, started(spec, units, levels), levels).flatten(1)
    return ended.T @ ended
