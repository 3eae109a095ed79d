"""TensorBoard's event files, read strictly, without TensorFlow.

A file is a row of records: length (8 bytes, little endian), its checksum, data, its checksum. A
checksum is a CRC-32C, rotated and offset. Data is an `Event` in the wire format of protocol
buffers, of which only what holds scalars is read:

    Event        1 wall_time: double   2 step: int64   3 file_version: string   5 summary: Summary
    Summary      1 value: repeated Value
    Value        1 tag: string   2 simple_value: float   8 tensor: TensorProto   9 metadata
    metadata     1 plugin_data (1 plugin_name: string)
    TensorProto  1 dtype   2 shape (2 dim)   4 tensor_content   5 float_val   6 double_val

A writer that was killed leaves its last record torn; what comes before it stands.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from repro.errors import ResourceError
from repro.ledger.exchange.told import Curve, Notify, Run

FILES = "**/*tfevents*"
"""Of a log folder."""

_STEP, _VERSION, _SUMMARY = 2, 3, 5  # of an Event
_VALUE = 1  # of a Summary
_TAG, _SIMPLE_VALUE, _TENSOR, _METADATA = 1, 2, 8, 9  # of a Value
_PLUGIN, _PLUGIN_NAME = 1, 1  # of its metadata, and of that
_DTYPE, _CONTENT = 1, 4  # of a TensorProto
_PACKING = {1: ("<f", 5), 2: ("<d", 6)}
"""By dtype (float32, float64): how a number is packed, and the field that holds it unpacked."""

FIRST_EVENT = b"brain.Event:2"
_SCALARS = b"scalars"
_HEAD, _CHECKSUM = struct.Struct("<QI"), struct.Struct("<I")
_LENGTH_BYTES = 8
_CONTINUES = 0x80
_CASTAGNOLI = 0x82F63B78
_MASK = 0xA282EAD8
_WORD = 0xFFFFFFFF

Fields = dict[int, list[int | bytes]]
Points = dict[str, list[tuple[int, float]]]
Kind = TypeVar("Kind", int, bytes)


class _FormatError(ValueError):
    """A record is not what the format says."""


def read(path: Path, notify: Notify) -> Iterator[Run]:
    """Every run of a log folder: a folder with event files is one, named after where it lies.

    Raises:
        ResourceError: there is no event file, or one is damaged.
    """
    files = sorted(path.glob(FILES)) if path.is_dir() else [path]
    files = [file for file in files if file.is_file()]
    if not files:
        raise ResourceError(f"{path}: holds no event file; expected TensorBoard's *tfevents*")
    runs: dict[str, Points] = {}
    base = path if path.is_dir() else path.parent
    for file in files:
        place = file.parent.relative_to(base)
        points = runs.setdefault((base.absolute().name / place).as_posix(), defaultdict(list))
        try:
            _read_file(file, points, notify)
        except OSError as error:
            raise ResourceError(f"{file}: cannot be read: {error.strerror}") from error
        except (ValueError, struct.error) as error:
            raise ResourceError(
                f"{file}: {error}; expected an event file of TensorBoard"
            ) from error
    for name, points in runs.items():
        yield Run(name=name, curves=tuple(_curve(tag, told) for tag, told in points.items()))


def _curve(tag: str, points: list[tuple[int, float]]) -> Curve:
    return Curve(
        metric=tag,
        steps=tuple(step for step, _ in points),
        values=tuple(value for _, value in points),
    )


def _read_file(file: Path, points: Points, notify: Notify) -> None:
    for index, record in enumerate(_records(file.read_bytes(), file, notify)):
        event = _fields(record)
        if index == 0 and _last(event, _VERSION, b"") != FIRST_EVENT:
            raise _FormatError(f"it does not begin with version {FIRST_EVENT.decode()}")
        step = _signed(_last(event, _STEP, 0))
        for value in _all(_fields(_last(event, _SUMMARY, b"")), _VALUE, bytes):
            told = _scalar(_fields(value))
            if told is not None:
                points[told[0]].append((step, told[1]))


def _records(data: bytes, file: Path, notify: Notify) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        start = at + _HEAD.size
        if start > len(data):
            break
        length, checksum = _HEAD.unpack_from(data, at)
        if checksum != masked_crc(data[at : at + _LENGTH_BYTES]):
            raise _FormatError(f"byte {at}: the checksum of a record's length is wrong")
        end = start + length
        if end + _CHECKSUM.size > len(data):
            break
        record = data[start:end]
        if _CHECKSUM.unpack_from(data, end)[0] != masked_crc(record):
            raise _FormatError(f"byte {start}: the checksum of a record is wrong")
        yield record
        at = end + _CHECKSUM.size
    if at < len(data):
        notify(f"{file}: its last record is torn, {len(data) - at} bytes were left out")


def _scalar(value: Fields) -> tuple[str, float] | None:
    """A tag and its number; none for an image, a histogram, a text, a tensor of many numbers."""
    tag = _last(value, _TAG, b"").decode()
    if _SIMPLE_VALUE in value:
        return tag, _unpacked("<f", _last(value, _SIMPLE_VALUE, b""))
    plugin = _fields(_last(_fields(_last(value, _METADATA, b"")), _PLUGIN, b""))
    if _TENSOR not in value or _last(plugin, _PLUGIN_NAME, b"") != _SCALARS:
        return None
    tensor = _fields(_last(value, _TENSOR, b""))
    dtype = _last(tensor, _DTYPE, 0)
    if dtype not in _PACKING:
        raise _FormatError(f"a scalar has dtype {dtype}, expected 1 (float32) or 2 (float64)")
    packing, unpacked = _PACKING[dtype]
    return tag, _unpacked(packing, _last(tensor, _CONTENT, _last(tensor, unpacked, b"")))


def _unpacked(packing: str, packed: bytes) -> float:
    found: float
    (found,) = struct.unpack(packing, packed)
    return found


def _fields(message: bytes) -> Fields:
    """The fields of a message by number, each with its values in order."""
    found: Fields = defaultdict(list)
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        value, at = _field(message, at, wire_type=key & 7)
        found[key >> 3].append(value)
    return found


def _field(message: bytes, at: int, *, wire_type: int) -> tuple[int | bytes, int]:
    match wire_type:
        case 0:
            return _varint(message, at)
        case 1:
            length = 8
        case 2:
            length, at = _varint(message, at)
        case 5:
            length = 4
        case _:
            raise _FormatError(f"a field has wire type {wire_type}")
    if at + length > len(message):
        raise _FormatError("a field is longer than its message")
    return message[at : at + length], at + length


def _all(fields: Fields, number: int, kind: type[Kind]) -> list[Kind]:
    found = [each for each in fields.get(number, []) if isinstance(each, kind)]
    if len(found) != len(fields.get(number, [])):
        raise _FormatError(f"field {number} is no {kind.__name__}")
    return found


def _last(fields: Fields, number: int, default: Kind) -> Kind:
    """A field's value: the last one counts, as the wire format says."""
    return _all(fields, number, type(default))[-1] if number in fields else default


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < _CONTINUES:
            return value, at
    raise _FormatError("a number ends in the middle")


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (_CASTAGNOLI if remainder & 1 else 0)
        table.append(remainder)
    return tuple(table)


_TABLE = _table()


def masked_crc(data: bytes) -> int:
    """The checksum that the format has: CRC-32C, rotated and offset."""
    crc = _WORD
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= _WORD
    return ((crc >> 15 | crc << 17) + _MASK) & _WORD
