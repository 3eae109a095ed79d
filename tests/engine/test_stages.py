"""What the stages of a run leave in the ledger, from data to a selection."""

import io
import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load
from sklearn.datasets import load_digits

from repro.engine.evaluation.images import image_facts
from repro.engine.run import run
from repro.engine.sheet import sheet
from repro.ledger import history, query, store
from repro.ledger.records import Artifact
from repro.metrics.influence import read_influence
from repro.metrics.reference import read_reference
from tests.engine import tiny

EVALUATED = (
    tiny.DENOISE
    + """
[protocol]
extractor = { kind = "inception-v3-compat", inception_weights = "none" }
reference = { kind = "dataset", data = { kind = "digits" }, num_images = 12, num_features = 10 }
metrics = [{ kind = "fid" }, { kind = "kid" }]

[[evaluate]]
name = "ddim"
checkpoints = { last = 2 }
sample = { kind = "checkpoint", num_samples = 6, sampler = { kind = "ddim", steps = 10 } }

[[evaluate]]
name = "real"
sample = { kind = "dataset", data = { kind = "digits" }, num_samples = 6, seed = 3 }

[[evaluate]]
name = "noise"
sample = { kind = "uniform-noise", num_samples = 6, height = 8, width = 8, channels = 1 }

[select]
among = ["ddim", "real"]
"""
)
BIASED = EVALUATED.replace('kind = "ddim"', 'kind = "ddpm-adjacent-strided"')


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The ledger of one run with every kind of stage but an encoder."""
    folder = tmp_path_factory.mktemp("stages")
    run([tiny.write(folder, EVALUATED)], root=folder / "ledger", cache=folder / "cache")
    return folder / "ledger"


def stage_artifacts(root, kind: str, role: str) -> list[Artifact]:
    """The artifacts in a role of every stage of a kind, in the order of the plan."""
    (execution,) = history.executions(root)
    ids = [each["stage_id"] for each in execution.start.stages if each["kind"] == kind]
    done = history.done_stages(root, ids)
    return [each for id_ in ids for each in done[id_].artifacts if each.role == role]


def test_every_stage_of_the_plan_is_done(root):
    """Eight kinds of stage, less the encoder."""
    rows = query(root, "select distinct stage_kind from stage_events where event = 'done'").rows

    assert {kind for (kind,) in rows} == {
        "prepare",
        "train",
        "calibrate",
        "sample",
        "reference",
        "evaluate",
        "select",
    }


def test_every_evaluation_has_its_values(root):
    """Two metrics for each of four sets of images."""
    rows = query(root, "select evaluation, metric from measurements order by all").rows

    assert rows == tuple(
        (name, metric)
        for name in ("ddim@12", "ddim@8", "noise", "real")
        for metric in ("fid", "kid")
    )


def test_rows_of_one_table_share_a_protocol(root):
    """Real, generated and random images are measured alike."""
    rows = query(root, "select count(distinct protocol_id) from measurements group by metric").rows

    assert rows == ((1,), (1,))


def test_two_checkpoints_sampled_from_the_same_seeds_can_be_paired(root):
    """Image i of both came from the same noise; that of another source did not."""
    by_name = dict(query(root, "select evaluation, pairing from measurements").rows)

    assert by_name["ddim@8"] == by_name["ddim@12"] != by_name["real"]


def test_an_influence_value_is_kept_for_each_image(root):
    """Errors and paired comparisons cost nothing later."""
    rows = query(root, "select influence, metric, num_samples from measurements").rows

    sizes = [
        len(read_influence(store.check(root, sha256), metric=metric)) for sha256, metric, _ in rows
    ]

    assert sizes == [num for *_, num in rows]


def test_real_images_are_images_of_the_data_set(root):
    """What is called real was drawn, without replacement, and not changed."""
    samples = stage_artifacts(root, "sample", "samples")[2]
    arrays = load(store.check(root, samples.sha256).read_bytes())

    levels = load_digits().images[arrays["sources"]][..., None]
    assert len(set(arrays["sources"])) == 6
    assert (arrays["images"] == np.rint(levels * 255 / 16)).all()


def test_real_images_are_chosen_by_a_frozen_stream(root):
    """The draw is numpy's RandomState, whose values no version changes."""
    samples = stage_artifacts(root, "sample", "samples")[2]
    sources = load(store.check(root, samples.sha256).read_bytes())["sources"]

    assert (sources == np.random.RandomState(3).permutation(1797)[:6]).all()


def test_uniform_noise_is_that_of_a_frozen_stream(root):
    """Image i is the noise of seed i."""
    samples = stage_artifacts(root, "sample", "samples")[3]
    images = load(store.check(root, samples.sha256).read_bytes())["images"]

    assert images[2, :4, 0, 0].tolist() == [168, 237, 22, 210]


def test_a_reference_of_some_images_is_drawn_from_all(root):
    """The twelve are the first of the fixed permutation, not of the file."""
    (kept,) = stage_artifacts(root, "reference", "reference")
    facts = read_reference(store.check(root, kept.sha256)).facts

    everything = np.rint(load_digits().images * 255 / 16).astype(np.uint8)[..., None]
    chosen = everything[np.random.RandomState(0).permutation(1797)[:12]]
    drawn = image_facts(chosen, quantisation="stored")
    assert facts["set_digest"] == drawn["set_digest"]


def test_a_selection_records_every_candidate(root):
    """The chosen one is the smallest of all that were looked at."""
    table = query(root, "select facts from decisions where topic = 'selection'")

    facts = json.loads(table.rows[0][0])
    values = {each["evaluation"]: each["value"] for each in facts["candidates"]}
    assert set(values) == {"ddim@8", "ddim@12", "real"}
    assert facts["chosen"] == min(values, key=values.__getitem__)


def test_a_sheet_shows_the_samples(root):
    """The first picture of the sheet is the first sample, enlarged by whole pixels."""
    samples, sheets = (stage_artifacts(root, "sample", role) for role in ("samples", "sheet"))
    images = load(store.check(root, samples[0].sha256).read_bytes())["images"]

    shown = np.asarray(Image.open(io.BytesIO(store.check(root, sheets[0].sha256).read_bytes())))

    assert (shown[:64:8, :64:8] == images[0, ..., 0]).all()


def test_a_sheet_of_few_colour_images_is_filled_up_with_black():
    """Rows are whole."""
    images = np.full((9, 32, 32, 3), 255, np.uint8)

    shown = np.asarray(Image.open(io.BytesIO(sheet(images))))

    assert shown.shape == (128, 512, 3)
    assert (shown[64:, 64:] == 0).all()


def test_a_biased_sampler_is_refused_and_the_finding_is_on_record(tmp_path):
    """The calibration stands in the ledger although the run stopped there."""
    spec = tiny.write(tmp_path, BIASED)

    (outcome,) = run([spec], root=tmp_path / "ledger", cache=tmp_path / "cache")

    assert "allow_biased" in outcome.problems[0]
    rows = query(tmp_path / "ledger", "select passed from calibrations").rows
    assert rows == ((False,),)


def test_progress_is_recorded_at_every_step(root):
    """Twelve updates, each with its loss."""
    rows = query(root, "select step from progress where name = 'loss' order by step").rows

    steps = [step for (step,) in rows]
    assert (steps[0], steps[-1]) == (1, 12)
    assert all(after - before == 1 for before, after in pairwise(steps))


def provenance_of(root, provider: str) -> tuple[str, dict[str, Any], str]:
    """Status, value and reason that a provider gave of the only execution."""
    statement = "select status, value, reason from provenance where provider = ?"
    ((status, value, reason),) = query(root, statement, [provider]).rows
    return status, json.loads(value), reason


def test_every_input_is_on_record(root):
    """The digests of data, reference statistics and the extractor's weights stand together."""
    status, value, _ = provenance_of(root, "inputs")

    assert status == "ok"
    assert value.keys() == {"data digits", "reference digits", "extractor inception-v3-compat"}
    assert all(each.startswith("sha256:") for each in value.values())


def test_the_switches_are_those_that_stages_compute_under(root):
    """Determinism and precision are recorded as they are while something is computed."""
    status, value, _ = provenance_of(root, "torch")

    assert status == "ok"
    assert value["deterministic_algorithms"]
    assert not value["matmul_tf32"]


def test_an_input_that_was_not_reached_is_told(tmp_path):
    """A run that fails early says which inputs it has not read."""
    spec = tiny.write(tmp_path, BIASED)
    run([spec], root=tmp_path / "ledger", cache=tmp_path / "cache")

    status, value, reason = provenance_of(tmp_path / "ledger", "inputs")

    assert (status, "data digits" in value) == ("partial", True)
    assert "evaluate ddim@8 was not reached" in reason
