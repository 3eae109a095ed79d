"""Probes in a run: put to recorded checkpoints, recorded, and no evidence."""

import io

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load

from repro.engine.run import run
from repro.ledger import history, store
from repro.report.archive import Archive
from repro.report.gate import Terms, refusals
from repro.spec import load as load_specs
from repro.spec import rehearsal, stages
from tests.engine import tiny

PROBED = (
    tiny.DENOISE
    + """
[[probe]]
name = "grid"
kind = "fixed-seed-grid"
checkpoints = { every = 8 }
columns = 3
sample = { kind = "checkpoint", num_samples = 6, sampler = { kind = "ddim", steps = 10 } }

[[probe]]
name = "audit"
kind = "nearest-neighbours"
num_reals = 20
extractor = { kind = "pixels" }
sample = { kind = "checkpoint", num_samples = 6, sampler = { kind = "ddim", steps = 10 } }

[[probe]]
name = "audit-real"
kind = "nearest-neighbours"
num_reals = 20
data = { kind = "digits" }
extractor = { kind = "pixels" }
sample = { kind = "dataset", num_samples = 6, data = { kind = "digits" } }
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("probes")


@pytest.fixture(scope="module")
def spec_path(folder):
    return tiny.write(folder, PROBED)


@pytest.fixture(scope="module")
def root(folder, spec_path):
    """The ledger of one training and its probes."""
    (outcome,) = run([spec_path], root=folder / "ledger", cache=folder / "cache")
    assert outcome.status == "done", outcome.problems
    return folder / "ledger"


@pytest.fixture(scope="module")
def done(root, spec_path):
    """What the probe stages left, by name."""
    (spec,) = load_specs(spec_path)
    asked = [stage for stage in stages(spec) if stage.kind == "probe"]
    found = history.done_stages(root, [stage.stage_id for stage in asked], rehearsal=False)
    return {stage.name: found[stage.stage_id] for stage in asked}


def test_a_probe_is_put_to_each_of_its_checkpoints(done):
    """Every eighth update of twelve; without checkpoints, the last."""
    assert list(done) == ["grid", "audit", "audit-real"]
    assert {each.checkpoint_step for each in done["grid"].measurements} == {8}
    assert {each.checkpoint_step for each in done["audit"].measurements} == {12}
    assert {each.checkpoint_step for each in done["audit-real"].measurements} == {None}


def test_a_grid_is_a_picture_with_numbers(root, done):
    """Two rows of three digits of 64 pixels a side."""
    (grid,) = done["grid"].artifacts
    with Image.open(io.BytesIO(store.check(root, grid.sha256).read_bytes())) as picture:
        size = picture.size

    assert size == (3 * 64, 2 * 64)
    assert [each.metric for each in done["grid"].measurements] == [
        "pixel_mean",
        "pixel_std",
        "saturated",
        "spread",
    ]
    assert {each.num_samples for each in done["grid"].measurements} == {6}


def test_an_audit_keeps_its_neighbours(root, done):
    """Which real image, how alike, of which class."""
    (artifact,) = [each for each in done["audit"].artifacts if each.role == "neighbours"]
    found = load(store.check(root, artifact.sha256).read_bytes())

    assert found["nearest"].shape == found["cosine"].shape == (6,)
    (mean,) = [each for each in done["audit"].measurements if each.metric == "nearest_cosine_mean"]
    assert mean.value == pytest.approx(float(np.mean(found["cosine"])))
    assert mean.facts["extractor"]["name"] == "pixels"


def test_samples_and_held_out_images_share_a_protocol(done):
    """Two numbers under one protocol may be compared: only the images looked at differ."""
    trained, real = (
        {each.metric: each.protocol_id for each in done[name].measurements}
        for name in ("audit", "audit-real")
    )

    assert trained == real


def test_real_images_of_the_bank_are_found_in_it(done):
    """The six first of a permutation are among the twenty first of it: six copies."""
    values = {each.metric: each.value for each in done["audit-real"].measurements}

    assert values == pytest.approx(dict.fromkeys(values, 1.0))


def test_the_gate_admits_no_probe(root, done):
    """Whatever a probe calls its numbers, no claim may rest on them."""
    archive = Archive(root)
    for stage in done.values():
        for row in archive.rows[stage.stage_id]:
            reasons = [each.reason for each in refusals(row, archive, Terms())]
            assert any("is no evaluation" in reason for reason in reasons)


def test_a_question_has_one_id_whatever_it_is_called(spec_path):
    """The name of a probe is for people, so equal questions are answered once."""
    text = spec_path.read_text(encoding="utf-8")
    other = text.replace('"audit"', '"other"').replace("every = 8", "steps = [8]")
    folder = spec_path.parent / "renamed"
    folder.mkdir()
    renamed = tiny.write(folder, other)

    ids = [
        {stage.stage_id for stage in stages(load_specs(path)[0]) if stage.kind == "probe"}
        for path in (spec_path, renamed)
    ]

    assert ids[0] == ids[1]
    assert len(ids[0]) == 3


def test_a_rehearsal_asks_the_same_small(spec_path):
    """The same probes at checkpoints that the short training leaves, on few images."""
    (spec,) = load_specs(spec_path)
    asked = [stage for stage in stages(rehearsal(spec)) if stage.kind == "probe"]

    assert [stage.name for stage in asked] == ["grid@2", "grid@4", "audit", "audit-real"]
    assert asked[2].spec.probe.num_reals == 20
