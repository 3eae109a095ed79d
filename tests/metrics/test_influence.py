"""Standard errors from stored influence values."""

import math

import numpy as np
import pytest

from repro.errors import IntegrityError
from repro.metrics.influence import (
    encode_influences,
    paired_standard_error,
    read_influence,
    standard_error,
    unpaired_standard_error,
)


def test_of_a_mean_it_is_the_textbook_error():
    """The influence of an image on a mean is its own deviation."""
    values = np.array([1.0, 2.0, 4.0, 7.0])

    found = standard_error(values - values.mean())

    assert found == pytest.approx(values.std(ddof=1) / 2)


def test_one_image_has_no_error():
    """Nothing is known about the spread of one."""
    assert standard_error(np.array([0.0])) == math.inf


def test_pairing_takes_out_what_both_share():
    """Two sets from the same seeds differ by far less than each varies."""
    shared = np.random.RandomState(0).standard_normal(100)

    paired = paired_standard_error(shared, shared + 0.001 * shared[::-1])

    assert paired < 0.01 * unpaired_standard_error(standard_error(shared), standard_error(shared))


def test_sets_of_unequal_size_cannot_be_paired():
    """Image i of one has no partner in the other."""
    with pytest.raises(ValueError, match="got 3 and 4 images"):
        paired_standard_error(np.zeros(3), np.zeros(4))


def test_a_file_gives_back_the_values_of_each_metric(tmp_path):
    """Influence values are stored without loss."""
    values = np.random.RandomState(1).standard_normal(5)
    (tmp_path / "file").write_bytes(encode_influences({"fid": values, "kid": 2 * values}))

    assert read_influence(tmp_path / "file", metric="kid").tolist() == (2 * values).tolist()


def test_a_file_without_the_metric_says_so(tmp_path):
    """The message names the file and the metric."""
    (tmp_path / "file").write_bytes(encode_influences({"fid": np.zeros(2)}))

    with pytest.raises(IntegrityError, match="holds no influence values of kid"):
        read_influence(tmp_path / "file", metric="kid")
