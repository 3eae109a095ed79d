"""How far generated points are from real ones."""

from pathlib import Path

import numpy as np
import pytest

from repro.engine.probes.point_cloud import distance, picture
from repro.engine.run import run
from repro.ledger import query

BIMODAL = Path(__file__).parents[3] / "specs" / "toy" / "bimodal.toml"


def normal(seed: int, num: int = 1024) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num, 2)).astype(np.float32)


def test_a_shift_is_far_outside_the_error():
    """Two clouds of one law differ by about their error, a shifted one by many times that."""
    same = distance("d", normal(0), normal(1), num_parts=8)
    shifted = distance("d", normal(0) + 3, normal(1), num_parts=8)

    assert same.se is not None
    assert shifted.se is not None
    assert abs(same.value) < 5 * same.se
    assert shifted.value > 20 * shifted.se
    assert (same.num, same.se_kind) == (1024, "over parts")


@pytest.mark.parametrize("points", [normal(0), np.zeros((4, 2), np.float32)])
def test_a_picture_is_a_png(points):
    """Also where all points are one."""
    assert picture(points, points).startswith(b"\x89PNG")


def test_a_training_of_points_leaves_both_clouds(tmp_path):
    """Every checkpoint has the number, that of real points beside it, and a picture."""
    (outcome, *_) = run(
        [BIMODAL],
        rehearse=True,
        root=tmp_path / "ledger",
        cache=tmp_path / "cache",
    )

    rows = dict(
        query(
            tmp_path / "ledger",
            f"select metric, value from measurements where execution_id = '{outcome.execution_id}'",
        ).rows
    )
    assert rows.keys() == {"energy_distance", "energy_distance_of_reals"}
    roles = query(tmp_path / "ledger", "select distinct role from artifacts").rows
    assert {("points",), ("cloud",)} <= set(roles)
