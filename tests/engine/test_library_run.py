"""A generator on the features of a library's network, as a run."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from repro.engine.features.library import weights_digest
from repro.engine.run import run
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import ResourceError
from repro.ledger import query
from tests.engine import tiny

ENCODER = """[encoder]
kind = "library-encoder"
library = "torchvision"
model = "squeezenet1_1"
path = "{path}"
digest = "{digest}"
side = 32
features = [{{ taps = ["features.3"], statistics = ["mean-std"] }}]

[network]"""
SEVERAL = """[encoder]
kind = "several"

[[encoder.members]]
name = "own"
encoder = {{ kind = "conv-encoder", channels = [8, 8], steps = 2, batch_size = 8 }}

[[encoder.members]]
name = "theirs"

[encoder.members.encoder]
"""
DATA = 'kind = "stand-in"\nheight = 16\nwidth = 16\nnum_images = 40\n'


def write(folder: Path, *, digest: str | None = None) -> Path:
    """The spec, and beside it random weights if no *digest* is given."""
    weights = folder / "weights.safetensors"
    if digest is None:
        ensure_torchvision_importable()
        models = pytest.importorskip("torchvision.models")
        save_file(models.get_model("squeezenet1_1", weights=None).state_dict(), weights)
    before, _, after = tiny.DRIFT.replace('kind = "digits"\n', DATA).partition("[encoder]")
    encoder = ENCODER.format(path=weights, digest=digest or weights_digest(weights))
    text = before + encoder + after.partition("[network]")[2]
    return tiny.write(folder, text.replace("steps = 12", "steps = 2"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The ledger of a run."""
    folder = tmp_path_factory.mktemp("library")
    (outcome,) = run([write(folder)], root=folder / "ledger", cache=folder / "cache")
    assert outcome.status == "done"
    return folder / "ledger"


def test_the_generator_drifts_in_the_maps_of_the_network(root):
    """Its energies are those of the statistics that its spec names."""
    statement = "SELECT DISTINCT name FROM progress WHERE name LIKE 'scale/%' ORDER BY name"

    assert query(root, statement).rows == (
        ("scale/features.3_mean",),
        ("scale/features.3_std",),
        ("scale/pixels",),
    )


def test_the_weights_are_among_the_recorded_inputs(root):
    """Their digest stands beside that of the data."""
    rows = query(root, "SELECT status, value FROM provenance WHERE provider = 'inputs'").rows

    ((status, value),) = rows
    assert status == "ok"
    assert json.loads(value).keys() == {"data stand-in", "encoder squeezenet1_1"}


def test_several_encoders_are_compared_at_once(tmp_path):
    """The keys of each begin with its name."""
    spec = write(tmp_path)
    text = spec.read_text("utf-8").replace("[encoder]\n", SEVERAL.format())
    spec.write_text(text, encoding="utf-8")

    (outcome,) = run([spec], root=tmp_path / "ledger", cache=tmp_path / "cache")

    assert outcome.status == "done"
    statement = "SELECT DISTINCT name FROM progress WHERE name LIKE 'scale/%' ORDER BY name"
    names = [name for (name,) in query(tmp_path / "ledger", statement).rows]
    assert names[-2:] == ["scale/theirs/features.3_mean", "scale/theirs/features.3_std"]
    assert [name for name in names if "own/" in name] == [
        *("scale/own/norm_x", "scale/own/stage1", "scale/own/stage1_mean", "scale/own/stage1_std"),
        *("scale/own/stage2", "scale/own/stage2_mean", "scale/own/stage2_std"),
    ]


def test_missing_weights_stop_the_run_before_it_starts(tmp_path):
    """What is missing is told with its path, and nothing is in the ledger."""
    spec = write(tmp_path, digest=f"sha256:{'0' * 64}")

    with pytest.raises(ResourceError, match=r"weights\.safetensors: no such file or folder"):
        run([spec], root=tmp_path / "ledger", cache=tmp_path / "cache")

    assert not (tmp_path / "ledger" / "segments").exists()


def test_other_weights_fail_the_run(tmp_path):
    """The file is held to its digest before anything is trained."""
    spec = write(tmp_path, digest=f"sha256:{'0' * 64}")
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")

    (outcome,) = run([spec], root=tmp_path / "ledger", cache=tmp_path / "cache")

    assert "the spec pins" in outcome.problems[0]
    rows = query(tmp_path / "ledger", "SELECT DISTINCT stage_kind FROM stage_events").rows
    assert {kind for (kind,) in rows} == {"prepare", "encoder"}


def test_a_rehearsal_needs_neither_weights_nor_library(tmp_path):
    """The whole plan runs with a small encoder of our own."""
    spec = write(tmp_path, digest=f"sha256:{'0' * 64}")

    (outcome,) = run([spec], root=tmp_path / "ledger", cache=tmp_path / "cache", rehearse=True)

    assert outcome.status == "done"
