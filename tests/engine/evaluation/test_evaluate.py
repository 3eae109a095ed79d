"""An evaluation: its values, the facts it records, and what it refuses."""

from typing import Any

import numpy as np
import pytest
from attrs import evolve

from repro.digest import canonical, xxh3_128
from repro.engine.evaluation import evaluate as module
from repro.engine.evaluation import references
from repro.engine.evaluation.evaluate import Evaluation, evaluate
from repro.engine.evaluation.extractor import Extractor, extract
from repro.engine.progress import Silent
from repro.errors import RunError
from repro.metrics import measure
from repro.metrics.features import Features
from repro.metrics.reference import ReferenceStatistics
from repro.spec.evaluate import Fid, InceptionV3Compat, Isc, Kid, Prc
from tests.engine.evaluation.fakes import cheap_extractor, some_images

RANDOM = InceptionV3Compat(inception_weights="none")
METRICS = (Fid(), Kid(), Prc(neighbour=2), Isc(splits=2))


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    monkeypatch.setattr(module, "open_extractor", lambda *_, **__: cheap_extractor())
    for each in (module, references):
        monkeypatch.setattr(each, "known_deviation", lambda _: 0.5)


@pytest.fixture
def reference(_cheap) -> ReferenceStatistics:
    return references.make_reference(
        some_images(8, seed=1),
        extractor=cheap_extractor(),
        dataset="fake",
        split="all",
        num_features=6,
        batch_size=8,
    )


def run(images, reference, **options) -> Evaluation:
    return evaluate(
        images,
        extractor=RANDOM,
        reference=reference,
        weights_path=None,
        **{"metrics": METRICS, "batch_size": 8, **options},
    )


def test_each_metric_has_a_value_and_says_its_error(images, reference):
    """Precision and recall are two; every value says what kind of error it has, if it has one."""
    found = run(images, reference, progress=Silent())

    assert [each.metric for each in found.measured] == ["fid", "kid", "precision", "recall", "isc"]
    assert all(np.isfinite([each.value, each.se or 0.0]).all() for each in found.measured)
    assert [each.metric for each in found.measured if each.se is None] == ["recall"]
    assert all(each.se_kind and each.num_samples == 8 for each in found.measured)


def test_no_metric_depends_on_the_batch_size(images, reference):
    """One image at a time, or all at once: the same numbers but for rounding."""
    one, all_ = (run(images, reference, batch_size=size).measured for size in (1, 8))

    pairs = [(a.value, b.value) for a, b in zip(one, all_, strict=True)]
    assert all(a == pytest.approx(b, rel=1e-4, abs=1e-6) for a, b in pairs)


def test_values_follow_from_the_features_alone(images, reference):
    """What the gate will recompute is what was measured."""
    found = run(images, reference)

    for each in found.measured:
        formula = each.facts["formula"]
        again = measure.recompute(each.metric, found.features, reference, formula=formula)
        assert each.value == pytest.approx(again.value, rel=1e-5)
        assert (each.se or 0.0) == pytest.approx(again.se or 0.0, rel=1e-5)


def test_facts_say_what_was_measured_by_what(images, reference):
    """Extractor, probe, resize, images, reference and formula: all that the gate asks."""
    fid = run(images, reference, quantisation="round-half-even").measured[0]

    assert fid.facts["extractor"] == cheap_extractor().facts
    assert fid.facts["extractor"]["weights"] == "none"
    assert fid.facts["probe"] == {"before": 0.5, "after": 0.5, "tolerance": 1e-4}
    assert fid.facts["resize"] == "tf1-bilinear-299"
    assert fid.facts["images"]["quantisation"] == "round-half-even"
    assert fid.facts["reference"] == {"digest": reference.digest, **reference.facts}
    assert fid.facts["formula"]["rank"] == 7
    assert fid.facts["formula"]["route"] == "eigh-eigvalsh"
    assert np.isfinite(fid.facts["formula"]["extrapolated"])


def test_the_probe_runs_before_and_after_the_images(images, reference, monkeypatch):
    """What breaks the network half way through does not go unseen."""
    order: list[str] = []
    deviations = iter([0.25, 0.75])

    def probed(extractor: Extractor) -> float:
        order.append("probe")
        return next(deviations)

    def extracted(*given: Any, **options: Any) -> Features:
        order.append("images")
        return extract(*given, **options)

    monkeypatch.setattr(module, "known_deviation", probed)
    monkeypatch.setattr(module, "extract", extracted)

    found = run(images, reference).measured[0].facts["probe"]

    assert order == ["probe", "images", "probe"]
    assert (found["before"], found["after"]) == (0.25, 0.75)


def test_precision_names_its_extractor(images, reference):
    """torch-fidelity would take VGG16 for these, and say nothing."""
    protocols = {each.metric: each.protocol for each in run(images, reference).measured}

    assert protocols["precision"]["extractor"]["name"] == "inception-v3-compat"
    assert protocols["precision"]["extractor"]["layer"] == "2048"
    assert protocols["isc"]["extractor"]["layer"] == "logits_unbiased"


def test_the_protocol_id_is_the_digest_of_its_facts(images, reference):
    """Anybody can compute it again."""
    for each in run(images, reference).measured:
        assert each.protocol_id == xxh3_128(canonical(dict(each.protocol)))


def protocol_of(images, reference, **options) -> str:
    return run(images, reference, metrics=[Kid()], **options).measured[0].protocol_id


def test_other_images_have_the_same_protocol(images, reference):
    """Real and generated images compare: bytes that were stored are exact, rounded ones too."""
    own = protocol_of(images, reference)

    assert protocol_of(some_images(8, seed=9), reference, quantisation="round-half-even") == own


@pytest.mark.parametrize("change", ["count", "size", "reference"])
def test_anything_that_moves_numbers_is_another_protocol(images, reference, change):
    """Such values never stand in one column."""
    other = {
        "count": lambda: protocol_of(images[:6], reference),
        "size": lambda: protocol_of(some_images(8, seed=2, size=16), reference),
        "reference": lambda: protocol_of(
            images, evolve(reference, facts={**reference.facts, "resize": "bicubic"})
        ),
    }

    assert other[change]() != protocol_of(images, reference)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Prc(neighbour=6), "metric 'prc' needs 7 images on each side, got 6"),
        (Isc(splits=9), "metric 'isc' needs 9 images on each side, got 8"),
    ],
)
def test_too_few_images_are_refused_before_any_work(images, reference, metric, message):
    """The message names the metric and both numbers."""
    with pytest.raises(RunError, match=message):
        run(images, reference, metrics=[metric])


def test_floats_are_refused(images, reference):
    """Their range would have to be guessed."""
    with pytest.raises(RunError, match="images to measure are uint8"):
        run(images / np.float32(255), reference)


def test_a_value_that_is_no_number_is_refused(images, reference, monkeypatch):
    """Not recorded, not printed: refused."""
    broken = measure.kernel_distance
    monkeypatch.setattr(
        measure,
        "kernel_distance",
        lambda *arguments: tuple(evolve(each, value=np.nan) for each in broken(*arguments)),
    )

    with pytest.raises(RunError, match="kid: expected a finite value"):
        run(images, reference, metrics=[Kid()])


def test_a_negative_frechet_distance_is_refused(images, reference, monkeypatch):
    """Rounding gives -1e-9, damaged statistics give more."""
    broken = measure.fid
    monkeypatch.setattr(
        measure,
        "fid",
        lambda *arguments: tuple(evolve(each, value=-1e-3) for each in broken(*arguments)),
    )

    with pytest.raises(RunError, match="it is no distance"):
        run(images, reference, metrics=[Fid()])
