"""How a study's measurements are sorted into tables."""

import pytest
from attrs import evolve

from repro.report import tables
from repro.report.archive import Archive
from tests.report.conftest import Project, noise_spec, trained_spec
from tests.report.fake import Made


@pytest.mark.parametrize(
    ("num_samples", "grade"),
    [
        (2048, "screening"),
        (2049, "internal, small n"),
        (10_000, "internal"),
        (50_000, "paper-comparable"),
    ],
)
def test_a_value_is_graded_by_its_number_of_images(num_samples, grade, project: Project):
    """Only 50,000 against a whole split may stand beside a paper's number."""
    project.run(noise_spec("sound"))
    archive = Archive(project.root)
    row = evolve(project.row("sound", archive), num_samples=num_samples)

    assert tables.entry(row, (), archive).grade == grade


@pytest.mark.parametrize(
    ("reference", "grade"),
    [
        ('{ kind = "dataset", data = { kind = "digits" } }', "paper-comparable"),
        ('{ kind = "dataset", data = { kind = "digits" }, num_images = 500 }', "internal"),
        (f'{{ kind = "file", path = "a", digest = "sha256:{"0" * 64}" }}', "internal"),
    ],
)
def test_a_part_of_a_split_is_not_comparable_with_papers(reference, grade, project: Project):
    """Nor are statistics of which nobody knows what they hold."""
    shipped = f'{{ kind = "shipped", name = "cifar10-test", digest = "sha256:{"0" * 64}" }}'
    project.run(noise_spec("sound").replace(shipped, reference))
    archive = Archive(project.root)
    row = evolve(project.row("sound", archive), num_samples=50_000)

    assert tables.entry(row, (), archive).grade == grade


def test_a_study_counts_all_that_was_started(project: Project):
    """A run whose numbers nobody shows was tried all the same."""
    project.run(trained_spec(("one", 2, 0)), one=Made(shift=1.0))
    project.run(trained_spec(("two", 2, 5)), two=Made(shift=2.0))

    counts = tables.denominator(project.study(), Archive(project.root))

    assert (counts.runs, counts.runs_done, counts.evaluations) == (2, 2, 2)
