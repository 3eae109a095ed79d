"""A run on latents: encoded once, learnt from, decoded again."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from attrs import evolve
from PIL import Image
from safetensors.numpy import load_file

from repro.engine.datasets import Images
from repro.engine.datasets import load as load_data
from repro.engine.enlarge import enlarged
from repro.engine.latents.autoencoder import decode
from repro.engine.objectives.images import signed
from repro.engine.plan import plan
from repro.engine.progress import Silent
from repro.engine.quantise import quantise
from repro.engine.run import run
from repro.engine.seeds import seeded
from repro.engine.stages import encode
from repro.engine.stages.encode import encode_rows
from repro.engine.stages.table import STAGES
from repro.errors import ResourceError
from repro.ledger import history, store, verify
from repro.ledger.records import Decision
from repro.ledger.retention import RESUME, Policy, holdings
from repro.spec import load as load_spec
from repro.spec import stages
from repro.spec.autoencoder import UntrainedAutoencoderKl
from repro.spec.data import Latents, RandomCrops, StandIn
from tests.engine.latents import small

SPEC = """
schema = 1
title = "tiny latents"

[data]
kind = "latents"
images = {{ kind = "stand-in", height = 8, width = 8, num_images = 20, num_classes = 4 }}

[data.autoencoder]
kind = "autoencoder-kl"
repository = "{repository}"
weights = "{weights}"
architecture = {{ channels = [4, 8], layers_per_block = 1, norm_groups = 2 }}

[network]
kind = "conv-generator"
channels = [8]
noise_dim = 8
conditioning_dim = 8
num_classes = 4

[encoder]
kind = "conv-encoder"
channels = [8]
steps = 2
batch_size = 4

[objective]
kind = "drifting"
features = ["pixels", "encoder"]
num_classes_per_step = 2
num_generated = 4
num_positive = 4
num_unconditional = 2

[train]
steps = {steps}
seed = 1
lr = 1e-3

[protocol]
extractor = {{ kind = "inception-v3-compat", inception_weights = "none" }}
reference = {{ kind = "dataset", data = {{ kind = "stand-in", num_images = 4 }}, num_features = 4 }}
"""

SAMPLED = """
[[evaluate]]
name = "{name}"
[evaluate.sample]
kind = "checkpoint"
num_samples = 5
sampler = {{ kind = "one-step" }}
quantisation = "{name}"
"""


def write(folder: Path, *, steps: int = 2, sampled: tuple[str, ...] = ()) -> Path:
    """The spec as a file, and its autoencoder beside it."""
    coder = small.saved(folder / "vae")
    text = SPEC.format(repository=coder.repository, weights=coder.weights, steps=steps)
    path = folder / "latents.toml"
    path.write_text(text + "".join(SAMPLED.format(name=each) for each in sampled), encoding="utf-8")
    return path


@pytest.fixture
def places(tmp_path):
    return {"root": tmp_path / "ledger", "cache": tmp_path / "cache"}


@pytest.fixture
def _small_shards(monkeypatch):
    monkeypatch.setattr(encode, "SHARD_IMAGES", 8)


def done(spec: Path, root: Path, kind: str) -> history.DoneStage:
    """The first stage of a kind, as the ledger has it."""
    ids = [each.stage_id for each in stages(load_spec(spec)[0]) if each.kind == kind]
    return history.done_stages(root, ids)[ids[0]]


def shards(spec: Path, root: Path) -> list[dict[str, np.ndarray]]:
    """What the shards of a run hold, in order."""
    found = [each for each in done(spec, root, "encode").artifacts if each.role == "latents"]
    return [load_file(store.check(root, each.sha256)) for each in found]


def saved_shards(spec: Path, root: Path) -> history.SavedArtifacts:
    """What an interrupted encoding left."""
    (stage_id,) = [e.stage_id for e in stages(load_spec(spec)[0]) if e.kind == "encode"]
    saved = history.saved_artifacts(root, stage_id, role="latents")
    assert saved is not None
    return saved


def interrupted(spec: Path, places) -> None:
    """Run until something says that the user stopped it."""
    with pytest.raises(KeyboardInterrupt):
        run([spec], **places)


def stop_before_the_manifest(spec: Path, places, monkeypatch) -> None:
    """Run until every shard is stored, and no further."""

    def stop(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(encode, "encode_manifest", stop)
        interrupted(spec, places)


def spec_of(**changes) -> Latents:
    known = {
        "images": StandIn(height=8, width=8, num_images=6),
        "autoencoder": small.saved,
        "scaling_factor": 0.5,
    }
    return Latents(**{**known, **changes})


def images_of(spec: Latents) -> Images:
    images = load_data(spec.images, cache=Path())
    assert isinstance(images, Images)
    return images


def latents_of(spec: Latents, rows) -> np.ndarray:
    with Silent().track("encode", len(rows)) as advance:
        return encode_rows(spec, small.network(), images_of(spec), np.array(rows), advance=advance)


def test_a_run_encodes_trains_and_decodes(tmp_path, places, monkeypatch):
    """Latents of half the sides are learnt from; what is sampled are images of full size."""
    spec = write(tmp_path, sampled=("truncate", "round-half-even"))
    for kind in ("reference", "evaluate"):  # the same for all images, and slow
        monkeypatch.setitem(STAGES, kind, lambda *_: {"digest": "none"})

    (outcome,) = run([spec], **places)

    assert outcome.problems == ()
    assert done(spec, places["root"], "encode").event.facts["shape"] == [4, 4, 4]
    assert done(spec, places["root"], "sample").event.facts["shape"] == [8, 8, 3]
    assert done(spec, places["root"], "sample").event.facts["quantisation"] == "truncate"
    assert verify(places["root"]) == []


@pytest.mark.usefixtures("_small_shards")
def test_the_manifest_lists_the_shards_and_what_they_were_made_of(tmp_path, places):
    """Its digest is that of the data; it names images, weights and layers."""
    spec = write(tmp_path)
    run([spec], **places)
    stage = done(spec, places["root"], "encode")
    (kept,) = [each for each in stage.artifacts if each.role == "manifest"]

    manifest = json.loads(store.check(places["root"], kept.sha256).read_bytes())

    listed = [each.sha256 for each in stage.artifacts if each.role == "latents"]
    assert manifest["shards"] == listed
    assert [len(each["labels"]) for each in shards(spec, places["root"])] == [8, 8, 4]
    assert stage.event.facts["digest"] == kept.sha256
    prepared = done(spec, places["root"], "prepare").event.facts["digest"]
    assert manifest["origin"]["images"] == prepared
    assert manifest["origin"]["spec"]["autoencoder"]["weights"].startswith("sha256:")
    assert "repository" not in manifest["origin"]["spec"]["autoencoder"]


@pytest.mark.usefixtures("_small_shards")
def test_an_encoding_that_was_cut_off_goes_on_after_its_last_shard(tmp_path, places, monkeypatch):
    """The second command encodes what is missing; all is as if nothing had happened."""
    spec = write(tmp_path)
    run([spec], root=tmp_path / "whole", cache=places["cache"])
    whole = encode.encode_rows

    def cut_off(spec, network, images, these, *, advance):
        if these[0] == 16:
            raise KeyboardInterrupt
        return whole(spec, network, images, these, advance=advance)

    def listening(spec, network, images, these, *, advance):
        rows.append(these.tolist())
        return whole(spec, network, images, these, advance=advance)

    rows: list[list[int]] = []
    with monkeypatch.context() as patched:
        patched.setattr(encode, "encode_rows", cut_off)
        interrupted(spec, places)
    monkeypatch.setattr(encode, "encode_rows", listening)
    (outcome,) = run([spec], **places)

    assert outcome.problems == ()
    assert rows == [[16, 17, 18, 19]]
    first, again = (done(spec, each, "encode") for each in (tmp_path / "whole", places["root"]))
    assert first.event.facts["digest"] == again.event.facts["digest"]
    assert again.event.facts["resumed_from"] is not None


@pytest.mark.usefixtures("_small_shards")
def test_a_shard_that_was_changed_is_not_gone_on_from(tmp_path, places, monkeypatch):
    """What was kept is read again before it is trusted."""
    spec = write(tmp_path)
    stop_before_the_manifest(spec, places, monkeypatch)
    saved = saved_shards(spec, places["root"])
    path = store.path_of(places["root"], saved.artifacts[1].sha256)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    (outcome,) = run([spec], **places)

    assert outcome.status == "failed"
    assert "artifact was changed" in outcome.problems[0]


@pytest.mark.usefixtures("_small_shards")
def test_the_shards_before_one_that_is_gone_are_gone_on_from(tmp_path, places, monkeypatch):
    """A lost shard costs itself and those after it, not all."""
    spec = write(tmp_path)
    stop_before_the_manifest(spec, places, monkeypatch)
    before = saved_shards(spec, places["root"])
    store.path_of(places["root"], before.artifacts[1].sha256).unlink()

    after = saved_shards(spec, places["root"])

    assert after.artifacts == before.artifacts[:1]


@pytest.mark.usefixtures("_small_shards")
def test_what_an_encoding_goes_on_from_is_not_collected(tmp_path, places, monkeypatch):
    """Hours of encoding are no litter because the run was cut off."""
    spec = write(tmp_path)
    stop_before_the_manifest(spec, places, monkeypatch)
    saved = {each.sha256 for each in saved_shards(spec, places["root"]).artifacts}

    held = holdings(places["root"], Policy(), now=time.time())

    assert {each.why for each in held if each.sha256 in saved} == {RESUME}


@pytest.mark.usefixtures("_small_shards")
def test_going_on_elsewhere_is_recorded(tmp_path, places, monkeypatch):
    """Shards of two machines may round apart; the record says so."""
    spec = write(tmp_path)
    stop_before_the_manifest(spec, places, monkeypatch)
    elsewhere = torch.get_num_threads() + 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: elsewhere)

    run([spec], **places)

    lines = history.read_lines(history.segment_paths(places["root"])[-1])
    said = [history.decoded(each) for each in lines]
    (deviation,) = [e for e in said if isinstance(e, Decision) and e.topic == "deviation"]
    assert deviation.facts["name"] == "resumed-elsewhere"
    assert deviation.facts["after_shards"] == 2


def test_a_longer_training_encodes_nothing_again(tmp_path, places):
    """Latents belong to the data: once made, neither images nor weights are needed to train."""
    run([write(tmp_path)], **places)
    spec = write(tmp_path, steps=3)
    (tmp_path / "vae" / "config.json").unlink()

    (outcome,) = run([spec], **places)

    assert outcome.status == "done"
    kinds = {stage.kind: stage.state for stage in plan(load_spec(spec)[0], **places).stages}
    assert kinds == {"prepare": "done", "encode": "done", "encoder": "done", "train": "done"}


def test_missing_weights_are_told_before_anything_starts(tmp_path, places, monkeypatch):
    """Offline and not there: every way to get them, and no execution."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    spec = write(tmp_path)
    text = spec.read_text().replace(str(tmp_path / "vae"), "stabilityai/sd-vae-ft-mse")
    spec.write_text(text)

    with pytest.raises(ResourceError, match=r"hf download stabilityai/sd-vae-ft-mse config\.json"):
        run([spec], offline=True, **places)

    assert not (places["root"] / "segments").exists()
    (planned,) = [e for e in plan(load_spec(spec)[0], **places).stages if e.kind == "encode"]
    assert planned.why == "not in the ledger; fetches autoencoder stabilityai/sd-vae-ft-mse first"


def test_sampling_needs_the_weights_again(tmp_path, places):
    """A plan that only samples says that the decoder is missing."""
    run([write(tmp_path)], **places)
    spec = write(tmp_path, sampled=("truncate",))
    (tmp_path / "vae" / "config.json").unlink()

    blocked = plan(load_spec(spec)[0], **places).blocked

    assert blocked == (
        f"autoencoder {tmp_path / 'vae'}: {tmp_path / 'vae'}: put config.json and "
        "diffusion_pytorch_model.safetensors there, or correct the path",
    )


def test_other_weights_are_other_stages(tmp_path):
    """The digest of the weights is in the id of the encoding, where they lie is not."""
    (spec,) = load_spec(write(tmp_path))
    data = spec.data
    assert isinstance(data, Latents)
    coder = data.autoencoder

    def ids(**changes):
        changed = evolve(data, autoencoder=evolve(coder, **changes))
        return {each.kind: each.stage_id for each in stages(evolve(spec, data=changed))}

    moved, elsewhere = ids(weights=f"sha256:{'0' * 64}"), ids(repository="a/b", revision="c")

    before = ids()
    assert elsewhere == before
    assert moved["prepare"] == before["prepare"]
    assert moved["encode"] != before["encode"]
    assert moved["train"] != before["train"]


def test_the_rehearsal_of_imagenet_latents_needs_nothing(tmp_path, places):
    """The whole plan at the real size, with a small autoencoder of random weights."""
    spec = tmp_path / "imagenet.toml"
    valid = Path(__file__).parents[1] / "data" / "valid" / "latents.toml"
    text = valid.read_text("utf-8").split("[protocol]")[0]
    spec.write_text(text.replace("[data]", "[data]\nflips = false", 1), encoding="utf-8")

    (outcome,) = run([spec], rehearse=True, offline=True, **places)

    assert outcome.problems == ()


def test_a_latent_depends_on_nothing_but_its_image(tmp_path):
    """Alone, in another order, after others: the same number gives the same latent."""
    spec = spec_of(autoencoder=small.saved(tmp_path))

    together, alone = latents_of(spec, [0, 1, 2, 3, 4, 5]), latents_of(spec, [4, 1])

    assert np.array_equal(alone, together[[4, 1]])


def test_the_second_view_is_of_the_mirror_image(tmp_path):
    """Its mean is that of the flipped image; its noise is its own."""
    coder = small.saved(tmp_path)
    spec = spec_of(autoencoder=coder, posterior="mean")
    images = images_of(spec).images
    with torch.inference_mode():
        mean = small.network().encode(signed(images[:]).flip(3)).latent_dist.mean

    views = latents_of(spec, range(6))
    sampled = latents_of(spec_of(autoencoder=coder), range(6))

    assert views.shape == (6, 2, 4, 4, 4)
    np.testing.assert_allclose(views[:, 1], 0.5 * mean.numpy(), atol=1e-6)
    noise = sampled - views
    assert not np.allclose(noise[:, 0], noise[:, 1])


def test_every_image_draws_noise_of_its_own(tmp_path):
    """What a posterior adds to the mean of one image says nothing of what it adds to another."""
    spec = spec_of(autoencoder=small.saved(tmp_path))
    with torch.inference_mode():
        law = small.network().encode(signed(images_of(spec).images[:])).latent_dist

    noise = (latents_of(spec, range(6))[:, 0] / 0.5 - law.mean.numpy()) / law.std.numpy()

    alike = np.corrcoef(noise.reshape(6, -1)) - np.eye(6)
    assert np.abs(alike).max() < 0.7  # 64 numbers each: of chance, 0.5 at the most


def test_without_flips_there_is_one_view(tmp_path):
    """Half the work and half the disk."""
    spec = spec_of(autoencoder=small.saved(tmp_path), flips=False)

    assert latents_of(spec, range(6)).shape == (6, 1, 4, 4, 4)
    both = latents_of(evolve(spec, flips=True), range(6))
    np.testing.assert_allclose(latents_of(spec, range(6))[:, 0], both[:, 0], atol=1e-6)


class Transparent(torch.nn.Module):
    """An autoencoder whose latents are the images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def encode(self, images: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=images))


def seen(rows, **changes) -> np.ndarray:
    """The views [n, V, 3, 8, 8] that an autoencoder is shown of these images."""
    spec = spec_of(
        autoencoder=UntrainedAutoencoderKl(), posterior="mean", scaling_factor=1.0, **changes
    )
    with Silent().track("encode", len(rows)) as advance:
        return encode_rows(spec, Transparent(), images_of(spec), np.array(rows), advance=advance)


def test_random_parts_are_encoded_in_the_place_of_the_image():
    """Three parts, each followed by its mirror image: no two alike, none of them the image."""
    whole = seen(range(6), flips=False)

    views = seen(range(6), random_crops=RandomCrops(num=3))

    assert views.shape == (6, 2 * 3, 3, 8, 8)
    assert np.array_equal(views[:, 1::2], views[:, ::2, :, :, ::-1])
    assert len({each.tobytes() for each in views[:, ::2].reshape(18, -1)}) == 18
    assert np.abs(views[:, ::2] - whole).max(axis=(2, 3, 4)).min() > 0.1


def test_a_random_part_depends_on_nothing_but_its_image():
    """Alone, in another order, among fewer parts or without mirror images it is the same."""
    views = seen(range(6), random_crops=RandomCrops(num=3))

    assert np.array_equal(seen([4, 1], random_crops=RandomCrops(num=3)), views[[4, 1]])
    few = seen([5], random_crops=RandomCrops(num=2), flips=False)
    assert np.array_equal(few, views[5:, :4:2])
    assert not np.array_equal(few, seen([5], random_crops=RandomCrops(num=2), flips=False, seed=1))


def test_small_images_are_enlarged_by_cubics(tmp_path):
    """32 pixels a side become what the autoencoder was trained on."""
    spec = spec_of(autoencoder=small.saved(tmp_path), enlarge_to=16)
    images = images_of(spec).images[:]

    large = enlarged(images, 16)

    wanted = Image.fromarray(images[3]).resize((16, 16), Image.Resampling.BICUBIC)
    assert np.array_equal(large[3], np.asarray(wanted))
    assert latents_of(spec, [0]).shape == (1, 2, 4, 8, 8)
    assert enlarged(images, None) is images


def test_bytes_are_truncated_or_rounded_after_clamping():
    """The two rules differ by one where they differ; beyond [-1, 1] both give an end."""
    values = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 5)
    many = torch.rand(1, 3, 50, 50, generator=seeded("bytes")) * 2 - 1

    rounded, truncated = (
        quantise(values, rule=rule).ravel().tolist() for rule in ("round-half-even", "truncate")
    )
    more = quantise(many).astype(int) - quantise(many, rule="truncate")

    assert rounded == [0, 0, 128, 255, 255]
    assert truncated == [0, 0, 127, 255, 255]
    assert set(np.unique(more)) == {0, 1}


def test_an_image_survives_the_way_there_and_back(tmp_path):
    """decode(encode(x)) of the mean is what the autoencoder itself makes of x."""
    spec = spec_of(autoencoder=small.saved(tmp_path), posterior="mean", flips=False)
    network = small.network()
    images = images_of(spec).images

    latents = torch.from_numpy(latents_of(spec, range(6))[:, 0])
    with torch.inference_mode():
        found = decode(network, latents, scaling_factor=spec.scaling_factor)
        wanted = network(signed(images[:])).sample

    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
