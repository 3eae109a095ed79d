"""Stored features are the evidence; they come back bit for bit."""

import numpy as np
import pytest

from repro.errors import IntegrityError
from repro.metrics.features import Features, encode_features, read_features
from tests.metrics.fakes import small_features


def test_a_file_gives_back_the_features(tmp_path):
    """Both layers, without loss."""
    features = small_features()
    (tmp_path / "file").write_bytes(encode_features(features))

    found = read_features(tmp_path / "file")

    assert np.array_equal(found.pool3, features.pool3)
    assert encode_features(found) == encode_features(features)


def test_logits_may_be_absent(tmp_path):
    """Weights without the last layer give pool3 features only."""
    (tmp_path / "file").write_bytes(encode_features(Features(pool3=small_features().pool3)))

    assert read_features(tmp_path / "file").logits is None


def test_another_file_is_refused(tmp_path):
    """The message names it."""
    (tmp_path / "file").write_bytes(b"nothing")

    with pytest.raises(IntegrityError, match="file: not a file of features"):
        read_features(tmp_path / "file")
