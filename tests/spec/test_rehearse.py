from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings

from repro.spec import Spec, dump, load, rehearsal, stages, structure
from repro.spec.data import ImageFolder, StandIn
from repro.spec.evaluate import DatasetReference, InceptionV3Compat
from repro.spec.network import ConvGenerator, Dit, UNet2D
from repro.spec.sample import FromCheckpoint
from tests.spec.strategies import specs
from tests.spec.test_golden import ROOT, SHIPPED
from tests.spec.test_plan import spec_of


@given(specs())
@settings(max_examples=60, deadline=None)
def test_a_rehearsal_is_a_spec(spec: Spec):
    """Whatever is made small can still be run."""
    small = rehearsal(spec)

    assert structure(dump(small)) == small


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_spec_can_be_rehearsed(path: Path):
    """Every kind of stage of a shipped spec is in its rehearsal, and needs nothing fetched."""
    for spec in load(path):
        small = rehearsal(spec)

        assert structure(dump(small)) == small
        assert {each.kind for each in stages(small)} == {each.kind for each in stages(spec)}
        assert "cifar10" not in str(dump(small)["data"] if small.data else "")


def test_a_reference_is_rehearsed_without_weights():
    """A spec that only makes one has no protocol that could say so."""
    (spec,) = load(ROOT / "specs" / "references" / "cifar10-test.toml")

    small = rehearsal(spec)

    assert spec.protocol is None
    assert small.protocol
    assert small.protocol.extractor == InceptionV3Compat(inception_weights="none")


@given(specs())
@settings(max_examples=30, deadline=None)
def test_a_rehearsal_of_a_rehearsal_is_the_same(spec: Spec):
    """What is small already stays as it is."""
    small = rehearsal(spec)

    assert rehearsal(small) == small


def test_a_rehearsal_is_small():
    """Few steps, few samples, thin layers, no weights, no data to fetch."""
    small = rehearsal(spec_of("drifting"))

    assert small.data == StandIn(num_images=64)
    assert small.network == ConvGenerator(
        noise_dim=16, channels=(8, 8, 8, 8), conditioning_dim=16, num_classes=10
    )
    assert small.train
    assert (small.train.steps, small.train.checkpoint_every) == (4, 2)
    assert small.protocol
    assert small.protocol
    assert small.protocol.extractor == InceptionV3Compat(inception_weights="none")
    assert isinstance(small.protocol.reference, DatasetReference)
    assert small.protocol.reference.data == StandIn(num_images=32)
    assert {each.sample.num_samples for each in small.evaluate} == {8}


def test_checkpoints_are_those_of_the_short_training():
    """First stays first, last stays last, and no step is asked for that is not there."""
    small = rehearsal(spec_of("drifting", "evaluate.untrained.checkpoints.steps=[0, 1000, 3000]"))

    assert small.evaluate[1].checkpoints
    assert small.evaluate[1].checkpoints.last == 2
    assert small.evaluate[2].checkpoints
    assert small.evaluate[2].checkpoints.steps == (0, 2, 4)


def test_norm_groups_still_divide_the_widths():
    """Capping widths and groups apart from each other must not break a network."""
    network = UNet2D(channels=(6, 12), attention=(False, False), norm_groups=6)
    small = rehearsal(attrs.evolve(spec_of("denoise"), network=network)).network

    assert isinstance(small, UNet2D)
    assert small.channels == (6, 8)
    assert small.norm_groups == 2


def test_a_rehearsed_sampler_may_be_biased():
    """Two steps fail calibration; the rehearsal goes on, and its records say what it is."""
    small = rehearsal(spec_of("denoise"))

    for each in small.evaluate:
        assert isinstance(each.sample, FromCheckpoint)
        assert each.sample.sampler.steps == 2  # type: ignore[union-attr]
        assert each.sample.sampler.allow_biased  # type: ignore[union-attr]


def test_files_are_replaced_by_what_the_network_makes():
    """The layout of a folder is not known before it is opened; its network's is."""
    network = ConvGenerator(channels=(64, 32, 16), num_classes=3)
    folder = ImageFolder(path="photos", digest=f"sha256:{'0' * 64}")
    small = rehearsal(attrs.evolve(spec_of("drifting"), data=folder, network=network))

    assert small.data == StandIn(height=16, width=16, num_classes=3, num_images=64)


def test_a_transformer_is_small_and_gets_images_that_its_patches_tile():
    """Folders become four patches a side; every count of the network is capped, none broken."""
    folder = ImageFolder(path="photos", digest=f"sha256:{'0' * 64}")
    network = Dit(patch_size=16, num_classes=3, num_registers=0)
    small = rehearsal(attrs.evolve(spec_of("drifting"), data=folder, network=network))

    assert small.data == StandIn(height=64, width=64, num_classes=3, num_images=64)
    assert small.network == Dit(
        patch_size=16,
        depth=2,
        num_heads=2,
        head_dim=16,
        num_classes=3,
        num_registers=0,
        num_style_tokens=2,
        num_style_codes=4,
    )
