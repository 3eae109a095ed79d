"""The ledger as TensorBoard's event files: curves, measurements and pictures, a folder a run.

The format is told in `event_files`, which reads it. A picture is a Value's field 4: an Image with
1 height, 2 width, 3 colours and 4 the PNG file. Nothing of TensorFlow or TensorBoard is needed.
"""

import json
import re
import shutil
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from repro.errors import LedgerError
from repro.ledger import store
from repro.ledger.database import query
from repro.ledger.exchange.event_files import FIRST_EVENT, masked_crc

_CURVES = """
SELECT p.execution_id, p.step, p.name, p."value", p.recorded_at, s.name AS stage
FROM progress p JOIN stages s USING (execution_id, stage_id) ORDER BY p.execution_id, p.seq
"""
_MEASURED = """
SELECT execution_id, evaluation, checkpoint_step, metric, "value", recorded_at
FROM measurements ORDER BY execution_id, seq
"""
_PICTURES = """
SELECT a.execution_id, s.name, a.role, a.sha256, a.recorded_at, e.facts,
  (SELECT max(m.checkpoint_step) FROM measurements m WHERE m.stage_id = a.stage_id)
FROM artifacts a JOIN stages s USING (execution_id, stage_id)
LEFT JOIN stage_events e ON e.execution_id = a.execution_id AND e.stage_id = a.stage_id
  AND e.event = 'done'
WHERE a.media_type = 'image/png' ORDER BY a.execution_id, a.seq
"""
_RUNS = "SELECT execution_id, run_id, purpose, study, title FROM executions ORDER BY execution_id"

_PNG_SIZE = slice(16, 24)
"""Where a PNG file says how wide and how high it is."""
_RGB = 3
_HEAD, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
_MOST_NAME = 60
_SEVEN_BITS = 0x7F


@frozen(kw_only=True)
class Written:
    """What an export wrote, and what it had to leave out."""

    runs: int
    numbers: int
    pictures: int
    missing: int


def export_events(root: Path, folder: Path) -> Written:
    """Write a new folder with a folder for each run, whole or not at all.

    Curves of a training are called `<stage>/<name>`, measurements `<evaluation>/<metric>` at the
    checkpoint's step, pictures `<stage>/<role>`. A picture that was collected is left out.

    Raises:
        LedgerError: there is no ledger, the folder is there already, or cannot be written.
    """
    if folder.exists():
        raise LedgerError(f"{folder}: is there already; name a new folder")
    names = {row[0]: _folder_name(*row) for row in query(root, _RUNS).rows}
    events: dict[str, list[bytes]] = defaultdict(list)
    numbers = 0
    for execution, event in (*_curves(root), *_measured(root)):
        events[execution].append(event)
        numbers += 1
    pictures, missing = 0, 0
    for execution, found in _pictures(root):
        if found is None:
            missing += 1
        else:
            events[execution].append(found)
            pictures += 1
    _write(folder, {names[each]: told for each, told in events.items()})
    return Written(runs=len(events), numbers=numbers, pictures=pictures, missing=missing)


def _curves(root: Path) -> Iterator[tuple[str, bytes]]:
    for execution, step, name, value, at, stage in query(root, _CURVES).rows:
        yield execution, _event(_seconds(at), step, _scalar(f"{stage}/{name}", value))


def _measured(root: Path) -> Iterator[tuple[str, bytes]]:
    for execution, evaluation, step, metric, value, at in query(root, _MEASURED).rows:
        tag = f"{_without_step(evaluation)}/{metric}"
        yield execution, _event(_seconds(at), step or 0, _scalar(tag, value))


def _pictures(root: Path) -> Iterator[tuple[str, bytes | None]]:
    """The events of pictures; None for one whose file is gone."""
    for execution, stage, role, sha256, at, facts, step in query(root, _PICTURES).rows:
        path = store.path_of(root, sha256)
        if not path.is_file():
            yield execution, None
            continue
        known = json.loads(facts) if isinstance(facts, str) else (facts or {})
        shown_at = step if step is not None else known.get("checkpoint_step") or 0
        value = _image(f"{_without_step(stage)}/{role}", path.read_bytes())
        yield execution, _event(_seconds(at), shown_at, value)


def _write(folder: Path, runs: Mapping[str, list[bytes]]) -> None:
    part = folder.absolute().with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, events in runs.items():
            (part / name).mkdir()
            target = part / name / "events.out.tfevents.0.repro"
            target.write_bytes(b"".join(map(_record, (_first(), *events))))
        part.rename(folder)
    except OSError as error:
        raise LedgerError(f"{folder}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _folder_name(execution: str, run_id: str, purpose: str, study: str, title: str) -> str:
    """Study and title for people, the run's and the execution's ids so that no two are one."""
    words = re.sub(r"\W+", "-", f"{study}-{title}").strip("-")[:_MOST_NAME]
    prefix = "" if purpose == "run" else f"{purpose}-"
    return f"{prefix}{words}-{run_id[:8]}-{execution[-8:]}"


def _without_step(name: str) -> str:
    """`grid@1000` and `grid@2000` are one row of TensorBoard, at two steps."""
    return re.sub(r"@\d+$", "", name)


def _seconds(at: Any) -> float:
    return at.replace(tzinfo=UTC).timestamp() if isinstance(at, datetime) else 0.0


def _first() -> bytes:
    return _double(1, 0.0) + _text(3, FIRST_EVENT)


def _event(wall_time: float, step: int, value: bytes) -> bytes:
    return _double(1, wall_time) + _number(2, step) + _text(5, _text(1, value))


def _scalar(tag: str, value: float) -> bytes:
    return _text(1, tag.encode()) + _key(2, 5) + struct.pack("<f", value)


def _image(tag: str, png: bytes) -> bytes:
    width, height = struct.unpack(">II", png[_PNG_SIZE])
    image = _number(1, height) + _number(2, width) + _number(3, _RGB) + _text(4, png)
    return _text(1, tag.encode()) + _text(4, image)


def _record(data: bytes) -> bytes:
    length = _HEAD.pack(len(data))
    return b"".join(
        (length, _CHECKSUM.pack(masked_crc(length)), data, _CHECKSUM.pack(masked_crc(data)))
    )


def _key(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _number(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value & 2**64 - 1)


def _double(field: int, value: float) -> bytes:
    return _key(field, 1) + struct.pack("<d", value)


def _text(field: int, value: bytes) -> bytes:
    return _key(field, 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > _SEVEN_BITS:
        parts.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    return bytes((*parts, value))
