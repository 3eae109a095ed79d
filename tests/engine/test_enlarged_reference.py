"""Reference statistics of enlarged images."""

from repro.engine.run import run
from repro.ledger import history, store
from repro.metrics.reference import read_reference
from tests.engine import tiny

ENLARGED = """
schema = 1

[protocol]
extractor = { kind = "pixels" }
[protocol.reference]
kind = "dataset"
data = { kind = "stand-in", height = 8, width = 8 }
enlarge_to = 10

[[evaluate]]
name = "noise"
sample = { kind = "uniform-noise", num_samples = 6, height = 10, width = 10 }
"""


def test_a_reference_is_of_images_at_the_size_that_is_measured(tmp_path):
    """Images of 8 x 8 pixels are measured, and recorded, as images of 10 x 10."""
    root = tmp_path / "ledger"

    (outcome,) = run([tiny.write(tmp_path, ENLARGED)], root=root, cache=tmp_path / "cache")

    assert outcome.status == "done"
    (execution,) = history.executions(root)
    ids = [each["stage_id"] for each in execution.start.stages if each["kind"] == "reference"]
    (done,) = history.done_stages(root, ids).values()
    (kept,) = done.artifacts
    statistics = read_reference(store.check(root, kept.sha256))
    assert statistics.facts["images"]["sizes"] == [[10, 10]]
    assert statistics.features.shape == (256, 10 * 10 * 3)
