"""Inputs that not everyone may have: a plan says what is missing, and how to get it."""

from pathlib import Path

import pytest
from attrs import evolve

from repro.engine.pinned import PinnedNeed
from repro.engine.plan import RunPlan, plan
from repro.engine.run import run
from repro.errors import ResourceError
from repro.spec import load
from repro.spec.data import ImageNetFolder
from repro.spec.encoder import LibraryEncoder
from repro.spec.evaluate import TorchvisionInception
from repro.spec.map_keys import MapKeys

STEP400 = Path(__file__).parents[2] / "specs" / "imagenet" / "step400.toml"
FOLDER = ImageNetFolder(path="imagenet/train", digest="unpinned")
PINNED = f"sha256:{'0' * 64}"


@pytest.fixture
def _nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No data beside the command, and no cache of the hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("repro.engine.latents.files.locate", lambda spec: None)


def planned(folder: Path, *, offline: bool) -> RunPlan:
    (spec,) = load(STEP400)
    return plan(spec, root=folder / "ledger", cache=folder / "cache", offline=offline)


@pytest.mark.usefixtures("_nothing_here")
def test_step_400_lacks_both_halves_of_imagenet(tmp_path):
    """With a network nothing else is missing; each is named once, with every way to get it."""
    train, validation = planned(tmp_path, offline=False).blocked

    assert train.startswith("imagenet/train: no such file or folder; sign up at https://image-net")
    assert "ImageNet('imagenet', 'train')" in train
    assert "cd imagenet/train && find . -type f" in train
    assert validation.startswith("imagenet/val: ")


@pytest.mark.usefixtures("_nothing_here")
def test_step_400_offline_lacks_the_networks_too(tmp_path):
    """The published autoencoder and the Inception, each with the command that brings it."""
    _, coder, _, inception = planned(tmp_path, offline=True).blocked

    assert "hf download stabilityai/sd-vae-ft-mse config.json" in coder
    assert "--revision 31f26fdeee1355a5c34592e401dd41e45d25a493" in coder
    assert "python -m repro fetch inception" in inception


@pytest.mark.usefixtures("_nothing_here")
def test_a_run_that_cannot_start_says_what_it_would_fetch(tmp_path):
    """Whoever goes to get ImageNet learns at once what else is to be had."""
    with pytest.raises(ResourceError) as caught:
        run([STEP400], root=tmp_path / "ledger", cache=tmp_path / "cache")

    told = [each.removeprefix(f"{STEP400}: ") for each in caught.value.problems]
    assert [each.partition(": ")[0] for each in told] == [
        "missing",
        "missing",
        *["not here either; the run fetches it, or without a network"] * 2,
    ]
    assert not (tmp_path / "ledger").exists()


def test_a_folder_that_is_there_lacks_its_pin(tmp_path):
    """Then the one command that prints the digest is told, and where it belongs."""
    need = PinnedNeed(spec=evolve(FOLDER, path=str(tmp_path)))

    assert not need.present(tmp_path)
    assert need.how_to_get == (
        f"{tmp_path}: its content is not pinned: run `cd {tmp_path} && find . -type f -printf"
        r" '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum` and write the 64 digits that"
        " it prints into the spec and the files that it extends or names, as"
        ' digest = "sha256:..." wherever "unpinned" stands beside this path'
    )


def test_a_pinned_folder_that_is_there_lacks_nothing(tmp_path):
    """Its content is held to the pin when it is read."""
    need = PinnedNeed(spec=evolve(FOLDER, path=str(tmp_path), digest=PINNED))

    assert need.present(tmp_path)


@pytest.mark.parametrize(
    ("library", "command"),
    [
        ("timm", "hf download timm/convnextv2_base model.safetensors"),
        ("torchvision", "put it there or correct the path"),
    ],
)
def test_weights_of_a_library_say_where_they_come_from(library, command):
    """The hub has those of timm under the name of the model."""
    encoder = LibraryEncoder(
        library=library,
        model="convnextv2_base",
        path="weights/a.safetensors",
        digest="unpinned",
        features=(MapKeys(taps=("stages.1",)),),
    )
    told = PinnedNeed(spec=encoder).how_to_get

    assert command in told
    assert "run `sha256sum weights/a.safetensors`" in told


def test_the_classifier_that_others_measure_by_says_where_it_comes_from():
    """The library fetches its own weights; a file of them is what a spec pins."""
    spec = TorchvisionInception(path="weights/inception.safetensors", digest="unpinned")
    told = PinnedNeed(spec=spec).how_to_get

    assert "inception_v3(weights='DEFAULT').state_dict(), 'weights/inception.safetensors'" in told
    assert "run `sha256sum weights/inception.safetensors`" in told
