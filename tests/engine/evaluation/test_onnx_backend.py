"""The optional backend gives the same features, or says why it cannot run."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from repro.engine.evaluation import onnx_backend
from repro.engine.evaluation.extractor import extract, open_extractor
from repro.errors import RunError
from repro.spec.evaluate import InceptionV3Compat

RANDOM = InceptionV3Compat(inception_weights="none")


def test_features_are_those_of_torch(images, pool3):
    """Another program, the same numbers to 2e-5."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    opened = open_extractor(RANDOM, weights_path=None, backend="onnxruntime")

    assert opened.facts["backend"] == "onnxruntime"
    assert np.abs(extract(opened, images, batch_size=8).pool3 - pool3).max() < 2e-5


@pytest.mark.parametrize(("num_images", "num_threads"), [(1, 2), (3, 2), (5, 4), (3, 9)])
def test_no_image_is_lost_between_threads(num_images, num_threads):
    """Whether a batch is shorter than the threads are many, or not divided by them."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()).eval()
    images = torch.rand(num_images, 3, 299, 299, generator=torch.Generator().manual_seed(0))

    found = onnx_backend.onnx_pool3(network, num_threads=num_threads)(images)

    assert torch.allclose(found, network(images), atol=1e-6)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    """The message is the next command."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(RunError, match=r"pip install 'repro-ledger\[fast\]'"):
        onnx_backend.onnx_pool3(nn.Sequential())


def test_an_operation_without_a_rule_is_refused():
    """Nothing is left out of the graph silently."""
    pytest.importorskip("onnx")

    with pytest.raises(RunError, match="no ONNX form for"):
        onnx_backend.serialize(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sigmoid()))


def test_it_runs_on_the_cpu_only():
    """A device that it would ignore is refused."""
    with pytest.raises(RunError, match="runs on the CPU, not on 'cuda'"):
        open_extractor(RANDOM, weights_path=None, backend="onnxruntime", device="cuda")


def test_each_operation_gives_what_torch_gives():
    """A small network with every operation of the large one."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network = nn.Sequential(
        nn.Conv2d(3, 5, (1, 7), padding=(0, 3), stride=2),
        nn.Identity(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.AdaptiveAvgPool2d(output_size=(1, 1)),
        nn.Flatten(),
    ).eval()
    images = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(0))

    found = onnx_backend.onnx_pool3(network)(images)

    assert torch.allclose(found, network(images), atol=1e-6)
