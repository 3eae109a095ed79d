"""A study to report on: a spec, its claims, and a ledger that holds one run of it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import frozen

from repro.report.archive import Archive
from repro.report.claims import Subject
from repro.report.rows import Row
from repro.report.sides import Side, Study, find, read_specs
from repro.spec import load
from tests.report import fake
from tests.report.fake import Attempt, Made

PROTOCOL = """
schema = 1
title = "Sets of noise"

[protocol]
reference = { kind = "shipped", name = "cifar10-test", digest = "sha256:%s" }
metrics = [{ kind = "fid" }]
""" % ("0" * 64)

NOISE = """
[[evaluate]]
name = "{name}"
sample = {{ kind = "uniform-noise", num_samples = {num_samples}, seed = {seed} }}
"""

TRAINED = """
schema = 1
title = "A network in two updates"
notes = "Trained on another machine."

[data]
kind = "cifar10"

[network]
kind = "{network}"

[objective]
kind = "{objective}"

[train]
steps = 2
seed = {train_seed}
lr = 1e-3
initial_checkpoint = true

[protocol]
reference = {{ kind = "shipped", name = "cifar10-test", digest = "sha256:{zeros}" }}
metrics = [{{ kind = "fid" }}]
"""

SAMPLED = """
[[evaluate]]
name = "{name}"
checkpoints = {{ steps = [{step}] }}
sample = {{ kind = "checkpoint", num_samples = 2049, seed = {seed}, sampler = {sampler} }}
"""


def noise_spec(*names: str, num_samples: Mapping[str, int] | None = None) -> str:
    """A spec that evaluates sets of uniform noise, each from its own seeds."""
    counts = num_samples or {}
    sets = (
        NOISE.format(name=name, num_samples=counts.get(name, 2049), seed=10_000 * index)
        for index, name in enumerate(names)
    )
    return PROTOCOL + "".join(sets)


def trained_spec(
    *evaluations: tuple[str, int, int],
    sampler: str = '{ kind = "one-step" }',
    train_seed: str = "1",
) -> str:
    """A spec that trains, and evaluates (name, checkpoint, sampling seed)."""
    drifting = "one-step" in sampler
    head = TRAINED.format(
        network="conv-generator" if drifting else "unet2d",
        objective="drifting" if drifting else "denoise",
        train_seed=train_seed,
        zeros="0" * 64,
    )
    rows = (
        SAMPLED.format(name=name, step=step, seed=seed, sampler=sampler)
        for name, step, seed in evaluations
    )
    return head + "".join(rows)


@frozen(kw_only=True)
class Project:
    """A folder with specs, reports and a ledger."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "ledger"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def spec(self) -> Path:
        return self.folder / "specs" / "toy" / "a.toml"

    def write(self, spec: str) -> None:
        """Write the spec."""
        self.spec.parent.mkdir(parents=True, exist_ok=True)
        (self.reports / "toy").mkdir(parents=True, exist_ok=True)
        self.spec.write_text(spec, encoding="utf-8")

    def run(self, spec: str = "", *, attempt: Attempt | None = None, **made: Made) -> str:
        """Write the spec, if one is given, and record an execution of it."""
        if spec:
            self.write(spec)
        return fake.run(self.root, self.spec, made, attempt=attempt)

    def run_all(self, **made: Made) -> None:
        """Record an execution of every run that the written spec expands to."""
        for spec in load(self.spec):
            fake.run(self.root, self.spec, made, spec=spec)

    def study(self) -> Study:
        """What a claims file that names the spec `a` reads."""
        return read_specs({"a": Subject(path="../../specs/toy/a.toml")}, self.reports / "toy")

    def row(self, name: str, archive: Archive) -> Row:
        """The first measurement of an evaluation."""
        side: Side = find(f"a:{name}", self.study())
        return archive.rows[side.stages[0].stage_id][0]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(folder=tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One for all tests of a module; they only read it."""
    return Project(folder=tmp_path_factory.mktemp("project"))
