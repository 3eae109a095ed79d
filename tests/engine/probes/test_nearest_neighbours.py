"""Nearest real images by the cosine of features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.engine.probes.nearest_neighbours import nearest_of, summary


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40))
def test_a_copy_is_found(seed: int, num: int, dim: int):
    """A row of the bank, made longer or shorter, finds itself with cosine 1."""
    draw = np.random.RandomState(seed)
    bank = draw.standard_normal((num, dim)).astype(np.float32)
    row = draw.randint(num)

    nearest, cosine = nearest_of(bank[row : row + 1] * 3, bank)

    assert cosine[0] == pytest.approx(1)
    assert np.allclose(np.sign(bank[nearest[0]]), np.sign(bank[row]))


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch):
    """However many samples are compared at once, each finds the same."""
    draw = np.random.RandomState(0)
    samples, bank = (draw.standard_normal((n, 5)).astype(np.float32) for n in (11, 7))
    whole = nearest_of(samples, bank)

    monkeypatch.setattr("repro.engine.probes.nearest_neighbours.BLOCK", 2)
    parts = nearest_of(samples, bank)

    assert (parts[0] == whole[0]).all()
    assert np.allclose(parts[1], whole[1], rtol=1e-14)


def test_a_vector_of_zeros_is_like_nothing():
    """Its cosine is 0, not NaN."""
    _, cosine = nearest_of(np.zeros((1, 3), np.float32), np.eye(3, dtype=np.float32))

    assert cosine.tolist() == [0]


def test_the_numbers_of_the_audit():
    """Mean, median, 95th percentile, and the rate of equal labels with its error."""
    cosine = np.linspace(0, 1, 101)

    found = {each.metric: each for each in summary(cosine, np.arange(101) < 25)}

    assert found["nearest_cosine_mean"].value == pytest.approx(0.5)
    assert found["nearest_cosine_mean"].se == pytest.approx(cosine.std(ddof=1) / np.sqrt(101))
    assert found["nearest_cosine_median"].value == pytest.approx(0.5)
    assert found["nearest_cosine_p95"].value == pytest.approx(0.95)
    assert found["label_match_rate"].value == pytest.approx(25 / 101)


def test_one_sample_has_no_error():
    """The deviation of one number is unknown, not zero."""
    mean, *_ = summary(np.array([0.5]), np.array([True]))

    assert mean.se is None
