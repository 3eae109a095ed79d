"""Networks of other libraries as encoders, on small ones with random weights."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve
from safetensors.torch import save_file
from torch import Generator, Tensor
from torch.nn.functional import interpolate

from repro.engine.features.library import (
    LibraryNetwork,
    library_encoder,
    resized,
    standardized,
    weights_digest,
)
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import ResourceError, RunError
from repro.spec import load
from repro.spec.encoder import LibraryEncoder, singles
from repro.spec.map_keys import MapKeys

SPECS = Path(__file__).parents[3] / "specs"
TAPS = ("features.3", "features.6")
SPEC = LibraryEncoder(
    library="timm",
    model="none",
    path="none",
    digest=f"sha256:{'0' * 64}",
    features=(MapKeys(taps=("0",)),),
)
LIBRARIES = ("torchvision", "timm", "transformers")


class PutsOut(torch.nn.Module):
    """A module that puts out the same whatever it is given."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def forward(self, _: Tensor) -> Any:
        return self.what


def images(num: int = 2, side: int = 24) -> Tensor:
    return torch.rand((num, 3, side, side), generator=Generator().manual_seed(0)) * 2 - 1


def keys(*taps: str, statistics: Any = ("locations",)) -> tuple[MapKeys, ...]:
    return (MapKeys(taps=taps, statistics=statistics),)


def spec_of(path: Path, library: Any, model: str = "", *taps: str) -> LibraryEncoder:
    """An encoder with the weights that lie there."""
    digest = weights_digest(path)
    return LibraryEncoder(
        library=library, model=model, path=str(path), digest=digest, features=keys(*taps), side=32
    )


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory) -> LibraryEncoder:
    """A small network of torchvision with random weights in a file."""
    ensure_torchvision_importable()
    models = pytest.importorskip("torchvision.models")
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(models.get_model("squeezenet1_1", weights=None).state_dict(), path)
    return spec_of(path, "torchvision", "squeezenet1_1", *TAPS)


def features(spec: LibraryEncoder, x: Tensor) -> dict[str, Tensor]:
    return library_encoder(spec).eval().features(x)


def test_maps_are_what_named_modules_put_out(squeezenet: LibraryEncoder):
    """Places of two maps, and no norms of the input."""
    found = features(squeezenet, images())

    assert {key: tuple(value.shape) for key, value in found.items()} == {
        "features.3": (2, 49, 128),
        "features.6": (2, 9, 256),
    }


def test_images_are_normalized_as_the_network_knows_them(squeezenet: LibraryEncoder):
    """The vectors are those of the network on the resized, normalized image in [0, 1]."""
    encoder = library_encoder(squeezenet).eval()
    x = (interpolate(images(), (32, 32), mode="bilinear", antialias=True) + 1) / 2
    mean, std = (torch.tensor(each)[:, None, None] for each in (squeezenet.mean, squeezenet.std))

    expected = encoder.network.model.features[:4]((x - mean) / std)  # type: ignore[attr-defined]
    found = encoder.features(images())["features.3"]
    torch.testing.assert_close(found, expected.flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("before", "after"), [(24, 32), (40, 16), (28, 28)])
def test_resizing_is_that_of_interpolate(before: int, after: int):
    """Two matrix products are the antialiased bilinear resize, up and down."""
    expected = interpolate(images(side=before), (after, after), mode="bilinear", antialias=True)

    torch.testing.assert_close(resized(images(side=before), after), expected, rtol=0, atol=1e-6)


def test_a_standardized_vector_has_no_scale():
    """Mean 0 and deviation 1 over the channels, but for the eps; a constant vector is 0."""
    x = 50 + 10 * torch.randn((2, 64, 3, 3), generator=Generator().manual_seed(0))
    x[0, :, 1, 1] = 7.0
    found = standardized(x)

    assert (found[0, :, 1, 1] == 0).all()
    assert found.mean(dim=1).abs().max() < 1e-5
    assert (found[1].std(dim=0, correction=0) - 1).abs().max() < 1e-3


def test_the_deviation_is_enlarged_by_a_thousandth():
    """Worked by hand: deviations of 1e-3 count as 2e-3 (facts 1.5)."""
    x = torch.tensor([5.001, 4.999], dtype=torch.float64)[None, :, None, None]

    assert standardized(x).flatten().tolist() == pytest.approx([0.5, -0.5])


def test_a_network_is_left_as_it_was(squeezenet: LibraryEncoder):
    """No hook stays behind, however often maps are asked for, or an image does not fit."""
    encoder = library_encoder(squeezenet).eval()
    encoder.features(images())
    with pytest.raises(RuntimeError):
        encoder.network.maps(torch.zeros(1, 1, 1, 1), {TAPS[0]})

    assert not any(each._forward_hooks for each in encoder.modules())


def test_a_standardized_constant_has_a_gradient():
    """No channel's deviation of zero divides by it."""
    x = torch.full((1, 4, 2, 2), 3.0, requires_grad=True)

    standardized(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_standardizing_and_reordering_are_options(squeezenet: LibraryEncoder):
    """A spec asks for them; the second reads a map as [B, H, W, C]."""
    plain, even = (
        features(evolve(squeezenet, standardize=each), images())["features.3"]
        for each in (False, True)
    )
    swapped = features(evolve(squeezenet, channels_last=True), images())["features.3"]

    assert even.mean(dim=2).abs().max() < 1e-5 < plain.mean(dim=2).abs().max()
    assert swapped.shape == (2, 128 * 7, 7)


def test_a_module_may_be_left_as_it_is(squeezenet: LibraryEncoder):
    """Of two maps that are standardized but for one, that one is what the network puts out."""
    plain, mixed = (
        features(evolve(squeezenet, standardize=each, unstandardized=left), images())
        for each, left in ((False, ()), (True, ("features.6",)))
    )

    assert torch.equal(mixed["features.6"], plain["features.6"])
    assert mixed["features.3"].mean(dim=2).abs().max() < 1e-5


def test_a_vector_is_a_map_of_one_place(squeezenet: LibraryEncoder):
    """What has no places left, like the logits of the whole network, counts, too."""
    flat = evolve(squeezenet, features=keys("classifier", "classifier.3"))
    with torch.no_grad():
        encoder = library_encoder(flat).eval()
        encoder.network.model.classifier.append(torch.nn.Flatten())  # type: ignore[attr-defined]
        found = encoder.features(images())

    assert {tuple(value.shape) for value in found.values()} == {(2, 1, 1000)}
    assert torch.equal(found["classifier"], found["classifier.3"])


def test_a_module_that_puts_out_several_tensors_is_its_first():
    """A tuple, or a mapping as transformers has it; nothing at all is no map."""
    x = images()
    for what, first in (((x, 2 * x), x), ({"last": 3 * x, "other": x}, 3 * x)):
        network = LibraryNetwork(SPEC, torch.nn.Sequential(PutsOut(what)))

        assert torch.equal(network.maps(x, {"0"})["0"], first)


def test_a_module_that_puts_out_no_tensor_is_refused():
    """The message names it and says what a map is."""
    network = LibraryNetwork(SPEC, torch.nn.Sequential(PutsOut(None)))

    with pytest.raises(RunError, match="'0' puts out nothing; expected a map"):
        network.maps(images(), {"0"})


def test_the_gradient_reaches_the_images(squeezenet: LibraryEncoder):
    """Frozen weights pass it on."""
    x = images().requires_grad_()
    encoder = library_encoder(squeezenet).eval().requires_grad_(requires_grad=False)

    encoder.features(x)["features.6"].sum().backward()

    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_other_weights_than_the_pinned_are_refused(squeezenet: LibraryEncoder):
    """The message has both digests."""
    pinned = f"sha256:{'0' * 64}"

    with pytest.raises(ResourceError, match=f"its content is sha256:.*the spec pins {pinned}"):
        library_encoder(evolve(squeezenet, digest=pinned))


def test_missing_weights_are_named(squeezenet: LibraryEncoder, tmp_path: Path):
    """A file that is not there, and a folder that lacks one."""
    for path, missing in ((tmp_path / "none", "none"), (tmp_path, "config.json")):
        with pytest.raises(ResourceError, match=f"{missing}: no such file"):
            library_encoder(evolve(squeezenet, path=str(path)))


def test_weights_of_another_model_are_refused(squeezenet: LibraryEncoder):
    """They do not fit by name."""
    with pytest.raises(RunError, match="does not fit 'squeezenet1_0'"):
        library_encoder(evolve(squeezenet, model="squeezenet1_0"))


def test_an_unknown_model_is_refused(squeezenet: LibraryEncoder):
    """With the nearest that the library knows."""
    with pytest.raises(RunError, match="unknown 'squeezenet1_2', did you mean 'squeezenet1_"):
        library_encoder(evolve(squeezenet, model="squeezenet1_2"))


def test_a_module_that_is_not_there_is_refused(squeezenet: LibraryEncoder):
    """With the nearest that the network has."""
    with pytest.raises(RunError, match=r"no map 'features\.99', did you mean 'features\.\d+'"):
        library_encoder(evolve(squeezenet, features=keys("features.99")))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_not_installed_is_named(
    squeezenet: LibraryEncoder, monkeypatch: pytest.MonkeyPatch, library: Any
):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(RunError, match=f"'{library}' is not installed; pip install {library}"):
        library_encoder(evolve(squeezenet, library=library))


@pytest.mark.parametrize("library", LIBRARIES)
def test_torchvision_can_be_imported_before_any_library(
    squeezenet: LibraryEncoder, monkeypatch: pytest.MonkeyPatch, library: Any
):
    """All three import it, and beside another build of torch that fails unless it is prepared."""
    prepared: list[bool] = []
    monkeypatch.setattr(
        "repro.engine.features.library.ensure_torchvision_importable", lambda: prepared.append(True)
    )
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(RunError, match="is not installed"):
        library_encoder(evolve(squeezenet, library=library))

    assert prepared == [True]


def test_a_network_of_timm(tmp_path: Path):
    """Its stages are maps, found under the names of its modules."""
    timm = pytest.importorskip("timm")
    path = tmp_path / "convnext.safetensors"
    save_file(timm.create_model("convnext_atto", pretrained=False).state_dict(), path)

    found = features(spec_of(path, "timm", "convnext_atto", "stages.0", "stages.3"), images())

    assert {key: tuple(value.shape) for key, value in found.items()} == {
        "stages.0": (2, 64, 40),
        "stages.3": (2, 1, 320),
    }


def test_the_thirteen_keys_of_the_published_pixel_models(tmp_path: Path):
    """Places, moments and the head of ConvNeXt V2, as the released code has them (facts 1.5).

    Its head normalizes the mean of the map as it is; the deviations of the last map come twice.
    """
    timm = pytest.importorskip("timm")
    (spec,) = load(SPECS / "imagenet" / "table8-b16.toml")
    (published,) = [each for _, name, each in singles(spec.encoder) if name == "convnext"]
    assert isinstance(published, LibraryEncoder)
    path = tmp_path / "convnext.safetensors"
    model = timm.create_model("convnextv2_atto", pretrained=False)
    save_file(model.state_dict(), path)
    small = evolve(
        published, model="convnextv2_atto", path=str(path), digest=weights_digest(path), side=64
    )

    found = features(small, images())

    assert len(found) == 13
    assert {each.shape[1] for each in found.values()} == {1, 2 * 2, 4 * 4, 8 * 8}
    assert torch.equal(found["norm_pre_std"], found["stages.3_std"])
    prepared = library_encoder(small).network.prepared(images())
    with torch.no_grad():
        pooled = model.eval().forward_features(prepared).mean(dim=(2, 3))
    expected = torch.nn.functional.layer_norm(pooled, pooled.shape[1:], eps=1e-6)
    torch.testing.assert_close(found["head.norm"][:, 0], expected, rtol=1e-4, atol=1e-5)


def test_a_network_of_transformers(tmp_path: Path):
    """Tokens of a small vision transformer are a map of one column."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    transformers.ViTModel(config).save_pretrained(tmp_path)

    found = features(spec_of(tmp_path, "transformers", "", "layernorm"), images())

    assert {key: tuple(value.shape) for key, value in found.items()} == {"layernorm": (2, 17, 16)}


def test_a_folder_that_transformers_cannot_open_is_named(tmp_path: Path):
    """The config names the model; one that names none is refused."""
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")

    with pytest.raises(RunError, match="transformers cannot open it"):
        library_encoder(spec_of(tmp_path, "transformers", "", "layernorm"))
