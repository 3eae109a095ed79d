"""Frechet distance at 2048 dimensions against scipy's sqrtm and torch-fidelity, in the same run.

Run `python tools/bench/bench_frechet.py [--write]`. The reference is the shipped CIFAR-10 test set;
the generated set is 5,000 draws from a Gaussian near it, so both spectra are those of real
features. Times are wall seconds, the best of the rounds; use a quiet machine.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from results import table, write_section
from scipy import linalg

from repro.engine.evaluation.references import shipped_reference
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.metrics import frechet
from repro.metrics.frechet import Moments

NUM_GENERATED = 5000
SCIPY, FIDELITY, OURS, FACTORED = (
    "scipy.linalg.sqrtm (pytorch-fid, clean-fid, EDM, ADM)",
    "torch-fidelity 0.4 (eigvals)",
    "repro: Cholesky of the reference, eigvalsh",
    "repro, reference already factored",
)


def main() -> None:
    """Print the table of times and ratios."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    given = options.parse_args()
    reference = shipped_reference("cifar10-test").moments
    generated = near(reference)
    factored = frechet.factor(reference)
    routes: dict[str, Callable[[], float]] = {
        SCIPY: lambda: scipy_distance(generated, reference),
        FIDELITY: lambda: fidelity_distance(generated, reference),
        OURS: lambda: frechet.distance(generated, frechet.factor(reference)),
        FACTORED: lambda: frechet.distance(generated, factored),
    }
    text = timed(routes, given.rounds)
    print(text)
    if given.write:
        write_section("Frechet distance (`bench_frechet.py`)", text)


def timed(routes: dict[str, Callable[[], float]], rounds: int) -> str:
    """Each route in turn, round by round, so that a noisy minute hits all of them."""
    seconds = dict.fromkeys(routes, float("inf"))
    values = dict.fromkeys(routes, float("nan"))
    for _ in range(rounds):
        for name, route in routes.items():
            started_s = time.perf_counter()
            values[name] = route()
            seconds[name] = min(seconds[name], time.perf_counter() - started_s)
    rows = [
        [
            name,
            f"{seconds[name]:.2f}",
            f"{seconds[SCIPY] / seconds[name]:.1f}",
            f"{seconds[FIDELITY] / seconds[name]:.1f}",
            f"{abs(values[name] / values[SCIPY] - 1):.0e}",
        ]
        for name in routes
    ]
    columns = ("route", "seconds", "times sqrtm", "times torch-fidelity", "relative difference")
    return table(columns, rows)


def near(reference: Moments) -> Moments:
    """Moments of draws from a Gaussian whose spread is a twentieth larger."""
    random = np.random.RandomState(0)
    factor = frechet.factor(reference).factor
    noise = random.standard_normal((NUM_GENERATED, len(reference.mean)))
    return frechet.moments(reference.mean + 1.05 * noise @ factor.T)


def scipy_distance(first: Moments, second: Moments) -> float:
    """The formula of pytorch-fid, without its retry."""
    root = linalg.sqrtm(first.covariance @ second.covariance)
    shift = first.mean - second.mean
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    return float(shift @ shift + traces - 2 * np.trace(root.real))


def fidelity_distance(first: Moments, second: Moments) -> float:
    """torch-fidelity's own step from moments to the value."""
    ensure_torchvision_importable()
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    sides = [{"mu": each.mean, "sigma": each.covariance} for each in (first, second)]
    return float(fid_statistics_to_metric(*sides, verbose=False)[KEY_METRIC_FID])


if __name__ == "__main__":
    main()
