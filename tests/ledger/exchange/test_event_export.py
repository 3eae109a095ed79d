"""The ledger as event files, read back by the reader of such files."""

import io
import struct
from pathlib import Path

import pytest
from attrs import evolve
from PIL import Image

from repro.errors import LedgerError
from repro.ledger import query, segment, store
from repro.ledger.exchange import event_files, export_events
from tests.ledger.ledgers import TRAIN, artifact, execute, start


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A ledger with an execution, and another that left a picture and one that is gone."""
    path: Path = tmp_path_factory.mktemp("ledger")
    execute(path)
    with segment.begin(path, start("pictures")) as writer:
        kept, lost = (
            artifact(path, png(width, 3), stage_id=TRAIN, role=f"sheet-{width}") for width in (5, 7)
        )
        for each in (kept, lost):
            writer.append(evolve(each, media_type="image/png"))
    gone = store.path_of(path, lost.sha256)
    gone.chmod(0o600)
    gone.unlink()
    return path


def test_every_number_comes_back(root: Path, tmp_path: Path):
    """Curves by stage and name, measurements by evaluation and metric, at their steps."""
    written = export_events(root, tmp_path / "out")

    told = {
        (curve.metric, step, value)
        for run in event_files.read(tmp_path / "out", lambda _: None)
        for curve in run.curves
        for step, value in zip(curve.steps, curve.values, strict=True)
    }
    curves = query(root, 'SELECT step, name, "value" FROM progress').rows
    single = struct.Struct("<f")
    expected = {
        (f"train/{name}", step, single.unpack(single.pack(value))[0])
        for step, name, value in curves
    }
    assert expected <= told
    measured = query(root, "SELECT count(*) FROM measurements").rows[0][0]
    assert written.numbers == len(curves) + measured == len(told)


def test_pictures_are_as_they_were(root: Path, tmp_path: Path):
    """The file stands in the events byte for byte; one that was collected is counted."""
    written = export_events(root, tmp_path / "out")

    data = b"".join(each.read_bytes() for each in (tmp_path / "out").glob("*/events*"))
    assert (written.pictures, written.missing) == (1, 1)
    assert png(5, 3) in data
    assert b"train/sheet-5" in data


def test_a_folder_that_is_there_is_not_touched(root: Path, tmp_path: Path):
    """An export never mixes with another."""
    with pytest.raises(LedgerError, match="is there already; name a new folder"):
        export_events(root, tmp_path)
