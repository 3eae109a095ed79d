"""Where the two files of an autoencoder come from."""

import pytest
from attrs import evolve

from repro.engine.latents import files
from repro.errors import ResourceError
from tests.engine.latents import small


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub's client, which is offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_folder_with_both_files_is_used_as_it_is(tmp_path):
    """A user's folder needs no hub."""
    spec = small.saved(tmp_path / "vae")

    assert files.verified(spec) == tmp_path / "vae"


def test_the_hubs_cache_is_found_by_repository_and_revision(hub):
    """What the hub's client has brought is not asked for again."""
    spec = small.in_hub_cache(hub)

    assert files.verified(spec) == files.fetch(spec)
    assert files.verified(spec).name == small.REVISION


def test_another_revision_is_not_taken(hub):
    """A cache that holds one revision does not stand in for another."""
    spec = evolve(small.in_hub_cache(hub), revision="0" * 40)

    assert files.locate(spec) is None


@pytest.mark.parametrize("name", files.FILES)
def test_a_folder_that_lacks_a_file_is_not_enough(tmp_path, name):
    """Half of an autoencoder is none."""
    spec = small.saved(tmp_path / "vae")
    (tmp_path / "vae" / name).unlink()

    with pytest.raises(ResourceError, match=r"put config.json and diffusion_pytorch_model"):
        files.verified(spec)


def test_other_weights_are_refused(tmp_path):
    """The digest of the spec decides, not the name."""
    spec = evolve(small.saved(tmp_path / "vae"), weights=f"sha256:{'0' * 64}")

    with pytest.raises(ResourceError, match=r"its content is sha256:.*, the spec pins sha256:0000"):
        files.verified(spec)


def test_what_the_hub_cannot_give_is_answered_with_every_way_to_get_it(hub):
    """The command, the cache of another machine, or a folder."""
    spec = evolve(small.in_hub_cache(hub), repository="nobody/nothing")

    with pytest.raises(ResourceError) as caught:
        files.fetch(spec)

    assert "hf download nobody/nothing config.json" in str(caught.value)
    assert f"--revision {small.REVISION}" in str(caught.value)
    assert "HF_HOME" in str(caught.value)
    assert "data.autoencoder.repository=FOLDER" in str(caught.value)


@pytest.mark.parametrize("name", ["./vae", "/data/vae", "models/sd/vae", "~/vae", "vae", "../vae"])
def test_a_path_is_not_asked_of_the_hub(tmp_path, monkeypatch, name):
    """Only `owner/name` is a repository."""
    monkeypatch.chdir(tmp_path)
    spec = evolve(small.saved(tmp_path / "other"), repository=name)

    assert not files.on_hub(spec)
    assert files.how_to_get(spec).endswith("correct the path")
