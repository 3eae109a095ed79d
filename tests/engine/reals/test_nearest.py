"""Which reals are near to what was generated."""

import pytest
import torch
from attrs import evolve
from torch import Generator, Tensor

from repro.engine.reals.nearest import nearest_to_generated, with_nearest_positives
from repro.errors import RunError
from repro.spec.objective import Drifting
from repro.spec.reals import NearestPositives

SPEC = Drifting(
    num_generated=2,
    num_positive=2,
    num_unconditional=1,
    nearest_positives=NearestPositives(num_candidates=4, feature="a"),
)


def on_a_line(*places: float) -> Tensor:
    return torch.tensor(places)[None, :, None]


@pytest.mark.parametrize(
    ("num", "num_random", "chosen"),
    [
        (1, 0, [3]),
        (3, 0, [3, 1, 4]),
        (3, 1, [3, 1, 0]),  # 0 is the first of those that are not among the nearest two
        (5, 0, [3, 1, 4, 0, 2]),
    ],
)
def test_the_nearest_come_first(num: int, num_random: int, chosen: list[int]):
    """A candidate is as near as its nearest sample; equals keep their order; then come others."""
    candidates = on_a_line(5.0, 9.0, -7.0, 0.5, 11.0)

    places = nearest_to_generated(candidates, on_a_line(0.0, 10.0), num=num, num_random=num_random)

    assert places.tolist() == [chosen]


def test_classes_are_apart():
    """What was generated of one class draws no candidate of another."""
    candidates = torch.tensor([[[0.0], [10.0]], [[0.0], [10.0]]])
    generated = torch.tensor([[[1.0]], [[9.0]]])

    assert nearest_to_generated(candidates, generated, num=1, num_random=0).tolist() == [[0], [1]]


def test_far_from_the_origin_the_nearest_is_the_nearest():
    """Distances do not lose their digits where vectors are long and alike."""
    generator = Generator().manual_seed(0)
    candidates = torch.randn((1, 30, 64), generator=generator)
    generated = torch.randn((1, 8, 64), generator=generator)
    exact = (candidates[:, :, None] - generated[:, None]).double().norm(dim=3).amin(dim=2)

    places = nearest_to_generated(candidates + 1000, generated + 1000, num=10, num_random=0)

    assert places.tolist() == exact.argsort(dim=1)[:, :10].tolist()


def test_every_key_keeps_the_same_reals():
    """Two classes of four candidates and another real; two locations under the second key."""
    reals = {
        "a": torch.tensor([5.0, 1.0, 9.0, 2.0, 0.0, 6.0, 8.0, 1.0, 7.0, 0.0])[:, None, None],
        "b": torch.arange(40.0).view(10, 2, 2),
    }
    generated = {"a": torch.tensor([0.0, 0.5, 7.0, 7.0])[:, None, None]}

    kept = with_nearest_positives(SPEC, generated=generated, reals=dict(reals))

    rows = [1, 3, 4, 8, 5, 9]  # 8 is at 7, 5 and 6 are both 1 away
    assert kept["a"].tolist() == reals["a"][rows].tolist()
    assert kept["b"].tolist() == reals["b"][rows].tolist()


def test_without_the_rule_all_are_kept():
    """Uniform positives are those that were drawn."""
    reals = {"a": torch.arange(3.0)[:, None, None]}

    kept = with_nearest_positives(
        evolve(SPEC, nearest_positives=None), generated=reals, reals=reals
    )

    assert kept == reals


def test_an_unknown_feature_is_refused():
    """The error offers those that are there."""
    with pytest.raises(RunError, match=r"feature: 'a' is not among .* one of: b, c"):
        with_nearest_positives(SPEC, generated={}, reals={"b": torch.ones(1), "c": torch.ones(1)})
