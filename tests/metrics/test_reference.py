"""A reference-statistics file is named by its content and held to that name."""

import numpy as np
import pytest
from attrs import evolve

from repro.errors import IntegrityError
from repro.metrics.reference import encode_reference, read_reference, write_reference
from tests.metrics.fakes import small_reference


def test_a_file_gives_back_the_statistics(tmp_path):
    """Nothing is lost on the way, and the digest says so."""
    reference = small_reference()
    write_reference(tmp_path / "file", reference)

    found = read_reference(tmp_path / "file", digest=reference.digest)

    assert found.digest == reference.digest
    assert found.facts == reference.facts
    assert found.moments.count == 60
    assert np.array_equal(found.moments.mean, reference.moments.mean)
    assert np.array_equal(found.moments.covariance, reference.moments.covariance)
    assert np.array_equal(found.features, reference.features)


def test_writing_leaves_nothing_beside_the_file(tmp_path):
    """The file is written aside and renamed."""
    write_reference(tmp_path / "file", small_reference())

    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_equal_statistics_are_equal_bytes():
    """The file, not only its content, can be compared by digest."""
    assert encode_reference(small_reference()) == encode_reference(small_reference())


@pytest.mark.parametrize("change", ["facts", "features", "mean"])
def test_any_change_is_another_digest(change):
    """A reference of another resize, or with one number edited, has another name."""
    reference = small_reference()
    changed = {
        "facts": evolve(reference, facts={**reference.facts, "resize": "bicubic"}),
        "features": evolve(reference, features=reference.features + np.float32(1e-6)),
        "mean": evolve(
            reference, moments=evolve(reference.moments, mean=reference.moments.mean + 1e-15)
        ),
    }

    assert changed[change].digest != reference.digest


def test_another_file_than_asked_for_is_refused(tmp_path):
    """The message gives both digests."""
    write_reference(tmp_path / "file", small_reference())

    with pytest.raises(IntegrityError, match="expected sha256:0000"):
        read_reference(tmp_path / "file", digest="sha256:" + "0" * 64)


@pytest.mark.parametrize("keep", [0, 20, 500])
def test_a_truncated_file_is_refused(tmp_path, keep):
    """Half a file is not statistics."""
    (tmp_path / "file").write_bytes(encode_reference(small_reference())[:keep])

    with pytest.raises(IntegrityError, match="not a file of reference statistics"):
        read_reference(tmp_path / "file")


def test_a_missing_file_is_refused(tmp_path):
    """The message names the path."""
    with pytest.raises(IntegrityError, match="absent"):
        read_reference(tmp_path / "absent")
