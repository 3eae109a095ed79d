"""The extractor that others call the pretrained Inception."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from repro import digest
from repro.engine.evaluation import torchvision_inception
from repro.engine.evaluation.extractor import Extractor, extract, open_extractor
from repro.engine.evaluation.images import Images
from repro.engine.evaluation.torchvision_inception import classifier_network, prepared
from repro.engine.evaluation.weights import Tensors
from repro.errors import ResourceError, RunError
from repro.metrics.standard import RESIZE
from repro.spec.evaluate import CompatAsTorchvision, TorchvisionInception


@pytest.fixture
def standard(monkeypatch, tensors: Tensors) -> Extractor:
    """Random tensors in the place of the standard ones, in torchvision's layers."""
    monkeypatch.setattr(torchvision_inception, "load_weights", lambda _: tensors)
    return open_extractor(CompatAsTorchvision(), weights_path=Path("weights"))


def test_bytes_are_enlarged_about_their_centres():
    """Half-pixel bilinear, rounded to bytes, then from -1 to 1."""
    images = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    exact = torch.nn.functional.interpolate(
        images.permute(0, 3, 1, 2).float(), (299, 299), mode="bilinear", align_corners=False
    )

    found = prepared(images)

    torch.testing.assert_close((found + 1) * 127.5, exact, rtol=0, atol=1.01)
    steps = (found + 1) * 127.5
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)


def test_grey_images_have_three_equal_channels():
    """As for the standard extractor."""
    found = prepared(torch.full((1, 4, 4, 1), 255, dtype=torch.uint8))

    assert found.shape == (1, 3, 299, 299)
    torch.testing.assert_close(found, torch.ones_like(found))


def test_layers_and_preprocessing_alone_move_the_features(
    standard: Extractor, images: Images, pool3: np.ndarray
):
    """The same tensors give 2,048 features again, but others."""
    found = extract(standard, images, batch_size=4).pool3

    assert found.shape == pool3.shape
    assert np.abs(found - pool3).max() > 1e-3 * np.abs(pool3).max()


def test_its_protocol_is_no_standard_one(standard: Extractor):
    """Nothing of what is recorded could be taken for the Inception's."""
    assert standard.facts["name"] == "inception-v3-compat-as-torchvision"
    assert standard.facts["layer"] == "avgpool"
    assert standard.resize != RESIZE
    assert not standard.known_answers


def test_a_file_of_weights_is_pinned(tmp_path: Path, tensors: Tensors):
    """A state of torchvision's model is taken; another file, and another network's, is refused."""
    path = tmp_path / "inception.safetensors"
    save_file({name: torch.from_numpy(value) for name, value in tensors.items()}, path)
    spec = TorchvisionInception(path=str(path), digest=digest.sha256_file(path))

    network, weights = classifier_network(spec, path)

    assert weights == spec.digest
    assert network(torch.zeros(1, 3, 299, 299)).shape == (1, 2048)
    with pytest.raises(ResourceError, match="the spec pins sha256:0000"):
        classifier_network(TorchvisionInception(path=str(path), digest=f"sha256:{'0' * 64}"), path)
    save_file({"weight": torch.zeros(1)}, path)
    spec = TorchvisionInception(path=str(path), digest=digest.sha256_file(path))
    with pytest.raises(RunError, match="do not fit torchvision's Inception"):
        classifier_network(spec, path)


def test_missing_weights_are_named(tmp_path: Path):
    """A person reads which file is not there, or which command brings it."""
    with pytest.raises(RunError, match="repro fetch inception"):
        classifier_network(CompatAsTorchvision(), None)
    spec = TorchvisionInception(path="absent", digest=f"sha256:{'0' * 64}")
    with pytest.raises(ResourceError, match="absent: No such file"):
        classifier_network(spec, tmp_path / "absent")
