"""Looks at a conditional denoiser, in a run: what they leave and what their numbers mean."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load

from repro.engine.run import run
from repro.ledger import history, store
from repro.spec import load as load_specs
from repro.spec import stages
from tests.engine import tiny

GUIDED = """
[probe.sample]
kind = "checkpoint"
num_samples = 4
sampler = { kind = "ddim", steps = 10 }
guidance = { kind = "classifier-free", scale = 3.0 }
"""
LOOKS = (
    tiny.DENOISE.replace("unet2d", "unet2d-conditional")
    .replace("norm_groups = 4", 'norm_groups = 4\ncondition = { kind = "labels" }')
    .replace("batch_size = 8", 'batch_size = 8\nprediction = "v"\ncondition_dropout = 0.2')
    + f"""
[[probe]]
name = "collage"
kind = "denoising-collage"
levels = [49, 22, 21, 3]
{GUIDED}

[[probe]]
name = "grid"
kind = "class-grid"
judge = {{ kind = "conv-encoder", channels = [16, 32], steps = 120 }}
{GUIDED}

[[probe]]
name = "real"
kind = "class-grid"
judge = {{ kind = "conv-encoder", channels = [16, 32], steps = 120 }}
sample = {{ kind = "dataset", num_samples = 200, data = {{ kind = "digits" }} }}

[[probe]]
name = "restored"
kind = "reconstruction"
levels = [49, 20, 0]
num_images = 3
{GUIDED}

[[probe]]
name = "heard"
kind = "label-sensitivity"
levels = [49, 10]

[[probe]]
name = "told"
kind = "condition-map"
perplexity = 3.0

[[probe]]
name = "cost"
kind = "call-cost"
repeats = 2
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("looks")


@pytest.fixture(scope="module")
def done(folder: Path):
    """What the probe stages of one run left, by name."""
    path = tiny.write(folder, LOOKS)
    (outcome,) = run([path], root=folder / "ledger", cache=folder / "cache")
    assert outcome.status == "done", outcome.problems
    (spec,) = load_specs(path)
    asked = [stage for stage in stages(spec) if stage.kind == "probe"]
    found = history.done_stages(
        folder / "ledger", [stage.stage_id for stage in asked], rehearsal=False
    )
    return {stage.name: found[stage.stage_id] for stage in asked}


def values(done, name: str) -> dict[str, float]:
    return {each.metric: each.value for each in done[name].measurements}


def content(folder: Path, done, name: str, role: str) -> bytes:
    (artifact,) = [each for each in done[name].artifacts if each.role == role]
    return store.check(folder / "ledger", artifact.sha256).read_bytes()


def test_a_collage_shows_the_way(folder, done):
    """Each asked level, or the next below it that the sampler visits, and the image at the end."""
    states = load(content(folder, done, "collage", "states"))
    with Image.open(io.BytesIO(content(folder, done, "collage", "collage"))) as picture:
        width = picture.size[0]

    assert sorted(states) == ["labels", "level-19", "level-49", "made"]
    assert states["made"].shape == (4, 1, 8, 8)
    assert width % 3 == 0
    noise, later = states["level-49"].std(), states["level-19"].std()
    assert 0.8 < noise < 1.2
    assert later != noise


def test_a_grid_is_scored_image_by_image(folder, done):
    """Four images of classes 0 to 3, with the probability of every class for each."""
    scores = load(content(folder, done, "grid", "scores"))

    assert scores["labels"].tolist() == [0, 1, 2, 3]
    assert scores["probabilities"].shape == (4, 10)
    assert scores["probabilities"].sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert {"class_accuracy", "saturated", "class_std"} <= values(done, "grid").keys()


def test_the_judge_knows_real_images(done):
    """What a perfect model would reach under this judge, trained for 120 updates."""
    assert values(done, "real")["class_accuracy"] > 0.5


def test_restoring_from_less_noise_restores_more(done):
    """Level 0 has hardly any noise; the last level of all has no signal that could be restored."""
    found = values(done, "restored")

    assert found["psnr/0"] > found["psnr/20"]
    assert found["psnr/0"] > found["psnr/49"]
    assert found["snr/0"] > 1e3


def test_the_label_is_heard(done):
    """After twelve updates already, for it is added to what the level says."""
    found = values(done, "heard")

    assert found["label_sensitivity/49"] > 0
    assert found["cross_attention_layers"] == 0
    assert found["condition_tokens"] == 1


def test_what_classes_are_told_as_is_kept(folder, done):
    """Eleven vectors, their cosines, and where the map puts them."""
    kept = load(content(folder, done, "told", "table"))

    assert kept["table"].shape == (11, 32)
    assert kept["places"].shape == (11, 2)
    assert np.diag(kept["cosines"]) == pytest.approx(np.ones(11), abs=1e-5)
    assert values(done, "told")["cosine_max"] < 1


def test_what_a_call_costs(done):
    """The parameters are counted, operations too, and time is taken."""
    found = values(done, "cost")

    assert found["parameters"] > 10_000
    assert found["operations"] > found["parameters"]
    assert found["seconds"] > 0
