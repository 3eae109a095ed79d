"""The extractor: its weights, its facts, its refusals."""

import importlib.util

import numpy as np
import pytest
import torch
from attrs import evolve
from safetensors.numpy import save_file

from repro.engine.evaluation import extractor as module
from repro.engine.evaluation.extractor import extract, open_extractor
from repro.engine.evaluation.network import pool3_network
from repro.engine.evaluation.weights import check_layers, load_weights
from repro.errors import ResourceError, RunError
from repro.spec.evaluate import InceptionV3Compat
from tests.engine.evaluation.fakes import cheap_extractor


def test_a_feature_does_not_depend_on_the_batch(extractor, images, pool3):
    """Kernels may round differently; nothing more."""
    assert np.abs(extract(extractor, images, batch_size=3).pool3 - pool3).max() < 2e-5


def test_logits_are_without_bias(images):
    """TensorFlow's graph for the inception score drops the bias; so does every published one."""
    extractor = cheap_extractor()

    found = extract(extractor, images, batch_size=8)

    assert found.logits is not None
    assert extractor.classifier is not None
    assert np.allclose(found.logits, found.pool3 @ extractor.classifier.T)


def test_progress_counts_images(images):
    """Whoever watches sees every image once."""
    seen: list[int] = []

    class Watching:
        def track(self, label: str, total: int):
            assert (label, total) == ("features", 8)
            return _Counting(seen)

        def notify(self, text: str) -> None:
            raise AssertionError(text)

    extract(cheap_extractor(), images, batch_size=3, progress=Watching())

    assert seen == [3, 3, 2]


class _Counting:
    def __init__(self, seen: list[int]) -> None:
        self._seen = seen

    def __enter__(self):
        return lambda amount, note="": self._seen.append(amount)

    def __exit__(self, *_: object) -> None:
        return None


def test_features_that_are_no_numbers_are_refused(extractor, images):
    """Damaged weights give NaN, and NaN is an answer to nothing."""
    broken = evolve(extractor, pool3=lambda batch: torch.full((len(batch), 2048), torch.nan))

    with pytest.raises(RunError, match="features are not finite"):
        extract(broken, images, batch_size=8)


def test_the_precision_recorded_is_that_of_the_parameters(monkeypatch, tensors):
    """torch-fidelity's "float64" computes in float32; what is asked for is no fact."""
    monkeypatch.setattr(module, "pool3_network", lambda given: pool3_network(given).half())
    monkeypatch.setattr(module, "random_tensors", lambda: tensors)

    opened = open_extractor(
        InceptionV3Compat(inception_weights="none"), weights_path=None, backend="torch"
    )

    assert opened.facts["dtype"] == "float16"


@pytest.mark.parametrize(
    ("device", "found", "backend"),
    [("cpu", object(), "onnxruntime"), ("cuda", object(), "torch"), ("cpu", None, "torch")],
)
def test_the_fast_extra_is_used_where_it_is_installed(monkeypatch, device, found, backend):
    """Installing it is enough; it runs on the CPU only."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)

    assert module.fastest_backend(device) == backend


def test_the_code_of_the_features_is_recorded(extractor):
    """Version and digests of the two files that define them."""
    assert extractor.facts["code"] == {
        "torch-fidelity": "0.4.0",
        "feature_extractor_inceptionv3.py": (
            "sha256:41308fd162a3571d8bf052e2dbf7b25f946daa5a74a591d1b85b76ca7ba0262f"
        ),
        "interpolate_compat_tensorflow.py": (
            "sha256:e90a965f0c4f6e13b9d216308ba34f8162296bf4a440d82988f453a935ccee11"
        ),
    }


def test_other_weights_under_the_standard_name_are_refused(tmp_path, tensors):
    """The digest of the tensors decides, not the name of the file."""
    path = tmp_path / "weights-inception-2015-12-05-6726825d.safetensors"
    save_file(tensors, path)

    with pytest.raises(RunError, match="expected sha256:d74e0063"):
        load_weights(path)


def test_a_pickle_is_not_opened(tmp_path):
    """Weights come as arrays; whatever a pickle would run is not run."""
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "weights.pth")

    with pytest.raises(ResourceError, match="not a complete safetensors file"):
        load_weights(tmp_path / "weights.pth")


def test_a_score_without_its_layer_is_refused_before_any_work(tmp_path):
    """NaN in the last layer would give NaN scores without a word; here it is a message."""
    save_file({"Conv2d_1a_3x3.conv.weight": np.zeros(1, np.float32)}, tmp_path / "pool3")

    with pytest.raises(RunError, match=r"'isc' needs the 1008-way layer 'fc\.weight'"):
        check_layers(["fid", "isc"], "standard", tmp_path / "pool3")


def test_a_score_with_its_layer_is_allowed(tmp_path):
    """The official file has it."""
    save_file({"fc.weight": np.zeros(1, np.float32)}, tmp_path / "full")

    check_layers(["fid", "isc"], "standard", tmp_path / "full")


def test_missing_weights_say_how_to_get_them():
    """The message is the next command."""
    with pytest.raises(RunError, match="python -m repro fetch inception"):
        open_extractor(InceptionV3Compat(), weights_path=None)


def test_random_weights_need_no_file():
    """Whatever is asked, `none` has every layer."""
    check_layers(["isc"], "none", None)
