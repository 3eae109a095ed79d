"""A generator on the features of an autoencoder that another spec trains, as a run."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from repro.engine.checkpoint import load_weights
from repro.engine.features.encoder import MapFeatures
from repro.engine.networks.mae import Mae, mae
from repro.engine.run import run
from repro.ledger import history, query, store
from repro.ledger.records import Artifact
from repro.spec import network as networks
from tests.engine import tiny

MAE = """
schema = 1
title = "tiny"

[data]
kind = "stand-in"
height = 16
width = 16
num_images = 40

[network]
kind = "mae"
width = 4
blocks = [1, 2, 1, 1]
num_classes = 10

[objective]
kind = "masked-autoencoding"
batch_size = 4
classify = { first_step = 2, ramp_steps = 1 }

[train]
steps = 4
seed = 1
lr = 1e-2
ema = { kind = "constant", decay = 0.5 }
checkpoint_every = 4
"""
DIGITS = '[data]\nkind = "digits"\n'
DATA = MAE[MAE.index("[data]") : MAE.index("[network]")]
CODER = """
[data.autoencoder]
kind = "autoencoder-kl-untrained"
architecture = { channels = [4, 8], layers_per_block = 1, norm_groups = 2 }
"""
NETWORK = networks.Mae(width=4, blocks=(1, 2, 1, 1), num_classes=10)
ENCODER = """[encoder]
kind = "pretrained"
from = "mae.toml"
features = [{ taps = ["layer1", "layer2_blk2"], statistics = ["mean-std"] }]

[network]"""


def write(folder: Path) -> Path:
    """The generator's spec, beside that of the autoencoder."""
    (folder / "mae.toml").write_text(MAE, encoding="utf-8")
    before, _, after = tiny.DRIFT.partition("[encoder]")
    text = before + ENCODER + after.partition("[network]")[2]
    return tiny.write(folder, text.replace(DIGITS, DATA).replace("steps = 12", "steps = 2"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the generator was trained, and then the autoencoder's spec was run."""
    path: Path = tmp_path_factory.mktemp("upstream")
    specs = [write(path), path / "mae.toml"]
    outcomes = run(specs, root=path / "ledger", cache=path / "cache")
    assert [each.status for each in outcomes] == ["done", "done"]
    return path


def artifact(root: Path, kind: str, role: str) -> Artifact:
    """The artifact that the only stage of a kind left in a role."""
    execution = history.executions(root)[0]
    (stage_id,) = [each["stage_id"] for each in execution.start.stages if each["kind"] == kind]
    done = history.done_stages(root, [stage_id])[stage_id]
    (found,) = [each for each in done.artifacts if each.role == role]
    return found


def trained(root: Path) -> tuple[Mae, bytes]:
    """The autoencoder, untrained, and the weights that its training left."""
    statement = """
        SELECT weights FROM checkpoints JOIN stages USING (execution_id, stage_id)
        WHERE name = 'masked-autoencoding' AND step = 4
    """
    ((sha256,),) = set(query(root, statement).rows)
    return mae(NETWORK, (3, 16, 16)), store.check(root, sha256).read_bytes()


def test_the_autoencoder_is_trained_once(folder):
    """Its own spec finds all of its stages done."""
    statement = "SELECT name FROM stage_events WHERE event = 'reused' ORDER BY seq"

    assert query(folder / "ledger", statement).rows == (
        ("stand-in",),
        ("masked-autoencoding",),
        ("mae",),
    )


def test_the_export_is_the_averaged_encoder(folder):
    """The file has the encoder's weights after the last update, averaged, and nothing else."""
    network, weights = trained(folder / "ledger")
    load_weights(network, weights, which="ema")
    exported = artifact(folder / "ledger", "export", "encoder")
    found = load(store.check(folder / "ledger", exported.sha256).read_bytes())

    expected = network.encoder.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert exported.facts["parameters"] == sum(each.numel() for each in found.values())


def test_the_generator_drifts_in_the_exported_maps(folder):
    """Its energies are those of the maps and statistics that its spec names."""
    statement = "SELECT DISTINCT name FROM progress WHERE name LIKE 'scale/%' ORDER BY name"

    assert query(folder / "ledger", statement).rows == tuple(
        (f"scale/{key}",)
        for key in (
            *("layer1_mean", "layer1_std", "layer2_blk2_mean", "layer2_blk2_std"),
            *("norm_x", "pixels"),
        )
    )


def on_latents(text: str) -> str:
    """The same spec on latents of the images, which are twice as large."""
    images = 'images = { kind = "stand-in", height = 32, width = 32, num_images = 40 }'
    data = f'[data]\nkind = "latents"\n{images}\n{CODER}\n'
    return text.replace(DATA, data)


def test_a_generator_of_latents_drifts_in_features_of_latents(tmp_path):
    """Both runs learn from the same encoding, made once."""
    spec = write(tmp_path)
    whole = "least_area = 1\nflip = false\nbatch_size"
    (tmp_path / "mae.toml").write_text(on_latents(MAE).replace("batch_size", whole, 1), "utf-8")
    spec.write_text(on_latents(spec.read_text("utf-8")), encoding="utf-8")

    (outcome,) = run([spec], root=tmp_path / "ledger", cache=tmp_path / "cache")

    assert outcome.problems == ()
    statement = "SELECT stage_kind FROM stage_events WHERE event = 'done' ORDER BY seq"
    kinds = ("prepare", "encode", "train", "export", "train")
    assert query(tmp_path / "ledger", statement).rows == tuple((each,) for each in kinds)
    assert artifact(tmp_path / "ledger", "export", "encoder").facts["channels"] == 4


def test_an_interrupted_generator_finds_its_encoder(tmp_path, monkeypatch):
    """The second attempt does not train the autoencoder again."""
    places = {"root": tmp_path / "ledger", "cache": tmp_path / "cache"}
    spec = write(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(MapFeatures, "features", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            run([spec], **places)

    (outcome,) = run([spec], **places)

    assert outcome.status == "done"
    counted = "SELECT count(*) FROM stage_events WHERE event = 'started' AND stage_kind = 'train'"
    assert query(places["root"], counted).rows == ((3,),)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
