"""A path over a heatmap: the probe is measured first, at the same checkpoint."""

import json

import pytest
from safetensors.numpy import load_file

from repro.engine.paths.cheapest import cheapest_levels
from repro.engine.run import run
from repro.ledger import history, store
from repro.spec import load, stages
from repro.spec.path import Cheapest
from tests.engine import tiny

SPEC = """
schema = 1
title = "tiny"

[data]
kind = "digits"

[network]
kind = "unet2d-sigma"
num_scales = 3
channels = [8, 8]
attention = [false, false]
layers_per_block = 1
embedding_dim = 16
norm_groups = 4

[objective]
kind = "edm"
batch_size = 4
codec = { kind = "torus-pyramid" }

[train]
steps = 4
seed = 1
lr = 1e-3
lr_schedule = { kind = "image-ramp", images = 8 }
ema = { kind = "half-life", images = 8 }
checkpoint_every = 2

[protocol]
reference = { kind = "dataset", data = { kind = "digits" } }
extractor = { kind = "pixels" }

[[probe]]
name = "heatmap"
kind = "jacobian-heatmap"
num_levels = 4
num_images = 2
num_probes = 1

[[probe]]
name = "toy"
kind = "gaussian-path"
sampler = { kind = "heun", path = { kind = "lead", ahead = 2 } }

[[probe]]
name = "cost"
kind = "call-cost"
batch_size = 2
repeats = 1

[[evaluate]]
name = "over-heatmap"
checkpoints = { last = 2 }
[evaluate.sample]
kind = "checkpoint"
num_samples = 4
[evaluate.sample.sampler]
kind = "heun"
steps = 3
path = { kind = "cheapest", heatmap = "heatmap" }
allow_biased = true
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("heatmap")


@pytest.fixture(scope="module")
def done(folder):
    """What every stage left, by kind and name."""
    path = tiny.write(folder, SPEC)
    (outcome,) = run([path], root=folder / "ledger", cache=folder / "cache")
    assert outcome.status == "done", outcome.problems
    (spec,) = load(path)
    planned = stages(spec)
    found = history.done_stages(
        folder / "ledger", [stage.stage_id for stage in planned], rehearsal=False
    )
    return {(stage.kind, stage.name): found[stage.stage_id] for stage in planned}


def file_of(folder, done, key, role):
    (artifact,) = [each for each in done[key].artifacts if each.role == role]
    return store.check(folder / "ledger", artifact.sha256)


def test_every_checkpoint_has_its_heatmap(done):
    """Also one that no probe was asked for by itself."""
    steps = {
        each.checkpoint_step
        for (kind, _), stage in done.items()
        if kind == "probe"
        for each in stage.measurements
    }

    assert steps == {2, 4, None}


def test_the_path_is_the_cheapest_over_it(folder, done):
    """The levels that were sampled along follow from the file that the probe left."""
    measured = load_file(file_of(folder, done, ("probe", "heatmap"), "heatmap"))
    sampled = json.loads(
        file_of(folder, done, ("sample", "over-heatmap@4"), "path").read_text(encoding="utf-8")
    )
    levels, cost = cheapest_levels(
        Cheapest(heatmap="heatmap"),
        measured["energies"][..., :2],
        measured["sigmas"],
        steps=3,
    )

    assert measured["energies"].shape == (4, 4, 3)
    assert [row[:2] for row in sampled["sigmas"]] == levels.tolist()
    assert all(row[1] == row[2] for row in sampled["sigmas"])
    assert sampled["cost"] == pytest.approx(cost)


def test_a_path_says_where_it_is_from(folder, done):
    """The file of levels holds the sampler as the spec has it, and the digest of the heatmap."""
    kept = json.loads(
        file_of(folder, done, ("sample", "over-heatmap@4"), "path").read_text(encoding="utf-8")
    )
    (heatmap,) = [
        each.sha256 for each in done["probe", "heatmap"].artifacts if each.role == "heatmap"
    ]

    assert kept["heatmap"] == heatmap
    assert (kept["sampler"]["steps"], kept["sampler"]["sigma_max"]) == (3, 80)
    assert kept["sampler"]["path"]["kind"] == "cheapest"


def test_a_call_at_real_levels_has_a_cost(done):
    """What the network sees has six channels for one, and a level for each scale."""
    cost = {each.metric: each.value for each in done["probe", "cost"].measurements}

    assert cost["parameters"] > 1000
    assert cost["operations"] > 1e5


def test_errors_of_every_gamma_are_numbers(done):
    """Decades, and what other scales decide."""
    metrics = {each.metric for each in done["probe", "heatmap"].measurements}

    assert {"orders_energy", "orders_gamma_B", "others_gamma_D_coarse"} <= metrics


def test_a_path_needs_no_network_where_the_truth_is_known(done):
    """The toy stands for itself and rests on its own file."""
    toy = done["probe", "toy"]

    assert {each.metric for each in toy.measurements} == {"frechet", "spread_error"}
    assert toy.measurements[0].samples == toy.artifacts[0].sha256
