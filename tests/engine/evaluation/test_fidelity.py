"""What torch-fidelity does silently is stopped at the one door to it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import repro
from repro.engine.evaluation import fidelity
from repro.engine.torchvision_import import ensure_torchvision_importable
from repro.errors import RunError
from repro.metrics import frechet, isc, kid, prc
from tests.engine.evaluation.fakes import some_images

ensure_torchvision_importable()


def features(count: int, *, seed: int) -> np.ndarray:
    points = np.random.RandomState(seed).standard_normal((count, 32)).astype(np.float32)
    return points + np.float32(0.1 * seed)


def sources() -> dict[str, str]:
    folder = Path(repro.__file__).parent
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.py")
    }


def test_there_is_one_door():
    """One module imports the library, and one function calls its metrics."""
    importing = re.compile(r"^\s*(?:from|import) torch_fidelity", re.MULTILINE)
    found = [name for name, text in sources().items() if importing.search(text)]

    assert found == ["engine/evaluation/fidelity.py"]
    assert sources()["engine/evaluation/fidelity.py"].count("calculate_metrics(") == 1


def test_an_unknown_argument_is_refused():
    """The library would take the default and say nothing."""
    with pytest.raises(RunError, match="no argument fid_statistics_file, isc_split"):
        fidelity.check_arguments({"fid": True, "isc_split": 5, "fid_statistics_file": "x"})


def test_the_library_is_called_without_cache_and_with_everything_named(monkeypatch, tensors):
    """Its cache knows neither weights nor data, its default extractor depends on the metric."""
    import torch_fidelity

    calls: list[dict[str, object]] = []
    monkeypatch.setattr(torch_fidelity, "calculate_metrics", lambda **given: calls.append(given))
    images = some_images(2, seed=0)

    fidelity.peer_metrics(images, images, tensors=tensors, batch_size=2)

    (arguments,) = calls
    assert arguments["cache"] is False
    assert arguments["feature_extractor"] == "inception-v3-compat"
    assert arguments["feature_layer_fid"] == "2048"
    fidelity.check_arguments(arguments)


@pytest.mark.slow
def test_swapped_weights_are_not_hidden_by_a_cache(tensors):
    """The same pictures under other weights give another value, as they must."""
    first, second = some_images(3, seed=1), some_images(3, seed=2)
    scaled = {name: value * np.float32(1 + ("7c" in name)) for name, value in tensors.items()}

    values = [
        fidelity.peer_metrics(first, second, tensors=each, batch_size=3)
        for each in (tensors, scaled)
    ]

    assert values[0] != values[1]


def test_it_still_computes_float64_in_float32():
    """The trap that makes us read the parameters; should this fail, it has been mended."""
    from torch_fidelity.helpers import text_to_dtype

    assert text_to_dtype("float64") is torch.float32


def test_frechet_distance_is_the_library_s():
    """Equal moments, equal value, to 1e-8."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    first, second = (features(200, seed=seed).astype(np.float64) for seed in (1, 2))
    statistics = [fid_features_to_statistics(torch.from_numpy(each)) for each in (first, second)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)

    found = frechet.distance(frechet.moments(first), frechet.factor(frechet.moments(second)))

    assert found == pytest.approx(expected["frechet_inception_distance"], rel=1e-8)


def test_subset_kernel_distance_is_the_library_s():
    """The same subsets in the same order; it computes in float32."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    first, second = features(60, seed=1), features(50, seed=2)
    expected = kid_features_to_metric(
        torch.from_numpy(first),
        torch.from_numpy(second),
        kid_subsets=5,
        kid_subset_size=30,
        verbose=False,
    )

    mean, spread = kid.subset_kid(first, second, subsets=5, subset_size=30)

    assert mean == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-4)
    assert spread == pytest.approx(expected["kernel_inception_distance_std"], rel=1e-3)


def test_precision_and_recall_are_the_library_s():
    """Generated first, real second."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    first, second = features(60, seed=1), features(50, seed=2)
    expected = prc_features_to_metric(
        torch.from_numpy(first), torch.from_numpy(second), verbose=False
    )

    found = prc.measure(first, second)

    assert found.precision == pytest.approx(expected["precision"])
    assert found.recall == pytest.approx(expected["recall"])


def test_inception_score_is_the_library_s():
    """Splits, shuffle and seed included."""
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = features(101, seed=3)
    expected = isc_features_to_metric(torch.from_numpy(logits))

    found = isc.measure(logits)

    assert found.value == pytest.approx(expected["inception_score_mean"], rel=1e-12)
    assert found.split_sd == pytest.approx(expected["inception_score_std"], rel=1e-9)
