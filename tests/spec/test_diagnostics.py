"""A rehearsal looks at levels that its short schedule has."""

from repro.spec import rehearsal
from repro.spec.data import StandIn, Stl10
from repro.spec.evaluate import DatasetReference
from repro.spec.objective import CosineSchedule, Denoise
from repro.spec.probes.denoising import LabelSensitivity
from tests.spec.test_plan import spec_of


def test_levels_are_those_of_the_short_schedule():
    """Twenty levels; what lies beyond is looked at on the last, once."""
    small = rehearsal(spec_of("diagnostics"))

    assert isinstance(small.objective, Denoise)
    assert small.objective.schedule == CosineSchedule(num_levels=20)
    (heard,) = [each for each in small.probe if isinstance(each, LabelSensitivity)]
    assert heard.levels == (19, 10)


def test_stl10_is_rehearsed_on_a_third_of_its_sides():
    """Attention to 48 x 48 places would take minutes a batch."""
    reference = "protocol.reference.data.kind='stl10'"
    small = rehearsal(spec_of("diagnostics", reference)).protocol

    assert small
    assert isinstance(small.reference, DatasetReference)
    assert small.reference.data == StandIn(height=32, width=32, num_images=64)
    assert Stl10().split == "train"
