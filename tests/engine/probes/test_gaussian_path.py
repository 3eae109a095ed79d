"""A path on Gaussian data, as a probe."""

import json
from typing import Any

import pytest

from repro.engine.probes.gaussian_path import gaussian_path
from repro.errors import RunError
from repro.spec.edm import Heun
from repro.spec.path import Lead, MatchedLead, Truncated
from repro.spec.probes.gaussian_path import GaussianPath
from repro.spec.sample import Ddim

NOBODY: Any = None
"""No network is asked, so no subject is looked at."""


def measured(sampler: Any, **options: Any) -> dict[str, float]:
    spec = GaussianPath(name="toy", sampler=sampler, **options)
    return {each.metric: each.value for each in gaussian_path(spec, NOBODY).values}


@pytest.mark.parametrize("steps", [18, 36])
def test_leading_and_truncating_are_hard_to_tell_apart(steps: int):
    """A lead of five is as good as the truncation that comes with it, to a tenth of the gain."""
    sync, led, cut = (
        measured(Heun(steps=steps, path=path))["frechet"]
        for path in (Lead(ahead=0), Lead(ahead=3), Truncated(ahead=3))
    )

    assert abs(led - cut) < 0.2 * abs(sync - cut)


def test_leading_alone_gains_nothing():
    """To the end of the same levels."""
    assert measured(Heun(path=MatchedLead(ahead=5)))["frechet"] > measured(Heun())["frechet"]


def test_steps_widen_and_truncation_narrows():
    """Golden: +5.5 % at deviation 0.5 in 18 steps; both cancel near five."""
    assert measured(Heun(), correlation=0.0)["spread_error"] > 0.05
    assert abs(measured(Heun(path=Truncated(ahead=5)), correlation=0.0)["spread_error"]) < 0.01


def test_the_levels_are_kept():
    """As a file, a row a step, with the sampler that they are of."""
    spec = GaussianPath(name="toy", sampler=Heun(path=Lead(ahead=5)))

    [left] = gaussian_path(spec, NOBODY).files

    kept = json.loads(left.data)
    assert len(kept["sigmas"]) == 18
    assert (kept["sampler"]["path"]["kind"], kept["sampler"]["path"]["ahead"]) == ("lead", 5)


def test_other_samplers_have_no_path():
    """They step from level to level of a schedule."""
    with pytest.raises(RunError, match="expected sampler heun, got ddim"):
        measured(Ddim())
