"""TensorBoard's event files, as its own release wrote them, and as a disk damages them."""

import shutil
import struct
from pathlib import Path

import pytest

from repro.errors import ResourceError
from repro.ledger.exchange.event_files import read
from tests.ledger.exchange.sources import EVENTS, ignore, numbers

VERSION = b"\x1a\x0dbrain.Event:2"
SCALARS = b"\x4a\x0b\x0a\x09\x0a\x07scalars"


def checksum(data: bytes) -> bytes:
    """CRC-32C bit by bit, rotated and offset."""
    crc = 0xFFFFFFFF
    for bit in (byte >> shift & 1 for byte in data for shift in range(8)):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 ^ bit else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """A record of an event file."""
    length = struct.pack("<Q", len(data))
    return length + checksum(length) + data + checksum(data)


def scalar(value: bytes) -> bytes:
    """An event with one summary value."""
    summary = bytes([0x0A, len(value)]) + value
    return bytes([0x2A, len(summary)]) + summary


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """An event file of its own, to be damaged."""
    (found,) = (EVENTS / "train").iterdir()
    return Path(shutil.copy(found, tmp_path / found.name))


def test_a_folder_with_event_files_is_a_run():
    """It is named after where it lies; the log folder's name comes first."""
    names = [run.name for run in read(EVENTS, ignore)]

    assert names == ["tensorboard-2.21.0/eval/last", "tensorboard-2.21.0/train"]


def test_simple_values():
    """As PyTorch and TensorFlow 1 write them, in single precision; pictures are left out."""
    (_, train) = read(EVENTS, ignore)

    assert numbers(train) == {
        "loss": [(0, "1"), (10, "0.5"), (20, "0.333333"), (30, "nan")],
        "lr": [(0, "0.0001"), (10, "0.0001"), (20, "0.0001")],
        "early": [(-1, "0.5")],
    }


def test_tensors():
    """As TensorFlow 2 writes them: packed or not, single or double; histograms are left out."""
    (last, _) = read(EVENTS, ignore)

    assert numbers(last) == {"fid": [(400, "293.573"), (401, "293.53"), (402, "1.5")]}
    assert last.curves[0].values[1] == 293.5298


def test_one_file(train):
    """A file alone is a run that is named after its folder."""
    (run,) = read(train, ignore)

    assert run.name == train.parent.name
    assert len(run.curves) == 3


def test_a_torn_end_is_left_out(train):
    """Cut anywhere, a file gives the numbers before the cut, and never any other."""
    whole = train.read_bytes()
    (told,) = read(train, ignore)
    values = [value for curve in told.curves for value in curve.values]

    for size in range(60, len(whole), 3):
        train.write_bytes(whole[:size])
        notices: list[str] = []
        (run,) = read(train, notices.append)

        found = {curve.metric: curve.values for curve in run.curves}
        assert sum(map(len, found.values())) <= len(values)
        assert all(
            repr(found[curve.metric]) == repr(curve.values[: len(found[curve.metric])])
            for curve in told.curves
            if curve.metric in found
        )
        assert len(notices) <= 1


def test_a_torn_end_is_said(train):
    """With the number of bytes that were left out."""
    train.write_bytes(train.read_bytes()[:-1])
    notices: list[str] = []

    list(read(train, notices.append))

    assert notices == [f"{train}: its last record is torn, 51 bytes were left out"]


def test_every_changed_byte_is_found(train):
    """No byte of a file can be another without notice: a number is right, or refused, or torn."""
    whole = train.read_bytes()

    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        train.write_bytes(changed)

        with pytest.raises(ResourceError, match="checksum"):
            list(read(train, ignore))


def test_a_record_made_by_hand(tmp_path):
    """A value with a tag and four bytes is a number of step 0."""
    path = tmp_path / "tfevents"
    value = b"\x0a\x01a\x15" + struct.pack("<f", 2.5)
    path.write_bytes(record(VERSION) + record(scalar(value)))

    (run,) = read(path, ignore)

    assert numbers(run) == {"a": [(0, "2.5")]}


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([b"\x10\x05"], "does not begin with version"),
        ([VERSION, b"\x80"], "a number ends in the middle"),
        ([VERSION, b"\x2a\x05abc"], "longer than its message"),
        ([VERSION, b"\x2b"], "wire type 3"),
        ([VERSION, b"\x28\x01"], "field 5 is no bytes"),
        ([VERSION, scalar(b"\x15\x00\x00\x00\x00\x0a\x01\xff")], "can't decode"),
        ([VERSION, scalar(SCALARS + b"\x42\x02\x08\x03")], "dtype 3"),
        ([VERSION, scalar(SCALARS + b"\x42\x05\x08\x01\x22\x01x")], "requires a buffer of 4"),
    ],
    ids=["version", "torn number", "long", "group", "kind", "tag", "integer", "short tensor"],
)
def test_a_record_of_another_shape_is_refused(records, problem, tmp_path):
    """Its checksum may be right all the same."""
    path = tmp_path / "tfevents"
    path.write_bytes(b"".join(map(record, records)))

    with pytest.raises(ResourceError, match=problem):
        list(read(path, ignore))


def test_text_is_no_event_file(tmp_path):
    """The message names the file and what was expected."""
    path = tmp_path / "events.out.tfevents.1"
    path.write_text("just a text file\n" * 10, encoding="utf-8")

    with pytest.raises(ResourceError, match=r"tfevents\.1: byte 0: .*expected an event file"):
        list(read(tmp_path, ignore))


def test_a_folder_without_event_files(tmp_path):
    """There is nothing to import."""
    with pytest.raises(ResourceError, match="holds no event file"):
        list(read(tmp_path, ignore))
