"""A family of models from an installed package: no file of ours knows it, and all of it runs.

The package `toyflow` (tests/data/installed) brings a data set, a network that is called as no other
is, an objective, a sampler with its calibration, and a probe.
"""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import repro
from repro.engine.run import run
from repro.errors import RunError
from repro.ledger import history
from repro.report.archive import Archive
from repro.report.gate import Terms, refusals
from repro.spec import load, rehearsal, stages

INSTALLED = Path(__file__).parents[1] / "data" / "installed"
SPEC = """
schema = 1
title = "straight flows"

[data]
kind = "toy-squares"

[network]
kind = "toy-velocity"

[objective]
kind = "toy-flow"

[train]
steps = 60
seed = 1
lr = 1e-2
accumulate = 2
checkpoint_every = 20
initial_checkpoint = true
ema = { kind = "constant", decay = 0.5 }

[protocol]
extractor = { kind = "pixels" }
reference = { kind = "dataset", data = { kind = "toy-squares" } }

[[evaluate]]
name = "each"
checkpoints = { every = 30 }
sample = { kind = "checkpoint", num_samples = 40, sampler = { kind = "toy-midpoint" } }

[[evaluate]]
name = "best"
checkpoints = { best_of = "each" }
sample = { kind = "checkpoint", num_samples = 40, seed = 40, sampler.kind = "toy-midpoint" }

[[evaluate]]
name = "plain"
sample = { kind = "checkpoint", num_samples = 40, sampler = { kind = "toy-uncalibrated" } }

[[probe]]
name = "turn"
kind = "toy-straightness"
checkpoints = { every = 60 }

[[probe]]
name = "grid"
kind = "fixed-seed-grid"
columns = 4
sample = { kind = "checkpoint", num_samples = 16, sampler = { kind = "toy-midpoint" } }
""".replace("checkpoints = { every = 30 }", "checkpoints = { steps = [0, 60] }")

LOOP_FILES = (
    "engine/train.py",
    "engine/run.py",
    "engine/checkpoint.py",
    "engine/beginning.py",
    "engine/sampling.py",
    "engine/stages/sample.py",
    "engine/stages/evaluate.py",
    "engine/stages/probe.py",
    "engine/stages/measured.py",
    "engine/stages/select.py",
    "engine/stages/init.py",
)
FAMILIES = (
    "repro.spec.objective",
    "repro.spec.network",
    "repro.spec.edm",
    "repro.spec.reals",
    "repro.engine.networks",
    "repro.engine.drift",
    "repro.engine.edm",
)


@pytest.fixture(scope="module", autouse=True)
def _installed():
    """The package, as if pip had put it there."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(INSTALLED))
        yield
    for name in [each for each in sys.modules if each.partition(".")[0] == "toyflow"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def path(tmp_path_factory, _installed) -> Path:
    file: Path = tmp_path_factory.mktemp("toyflow") / "flow.toml"
    file.write_text(SPEC, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def root(path: Path) -> Path:
    (outcome,) = run([path], root=path.parent / "ledger", cache=path.parent / "cache")
    assert outcome.status == "done", outcome.problems
    return path.parent / "ledger"


def left(root: Path, path: Path) -> dict[str, history.DoneStage]:
    """What every stage left, by its kind and name."""
    planned = stages(load(path)[0])
    done = history.done_stages(root, [each.stage_id for each in planned], rehearsal=False)
    return {f"{each.kind} {each.name}": done[each.stage_id] for each in planned}


def test_it_learns(root: Path, path: Path):
    """The trained network is nearer to the data than the untrained one."""
    done = left(root, path)

    before, after = (done[f"evaluate each@{step}"].measurements[0].value for step in (0, 60))

    assert before is not None
    assert after is not None
    assert after < before / 2


def test_its_calls_are_counted(root: Path, path: Path):
    """Two a step, whatever they are called with."""
    (samples,) = [each for each in left(root, path)["sample best"].artifacts if "nfe" in each.facts]

    assert samples.facts["nfe"] == 16


def test_its_own_probe_and_ours_are_put_to_it(root: Path, path: Path):
    """What it asks stands in the ledger under the protocol of its kind."""
    done = left(root, path)

    (turned,) = done["probe turn@60"].measurements
    assert turned.metric == "toy_turn"
    assert turned.value is not None
    assert turned.value > 0
    assert {each.role for each in done["probe grid"].artifacts} == {"grid"}


def test_it_is_resumed_in_the_same_bits(
    root: Path, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Interrupted after 50 of 60 updates, it goes on after 40 and ends as it would have."""
    places: dict[str, Any] = {"root": tmp_path / "ledger", "cache": tmp_path / "cache"}
    updates = iter(range(1, 51))

    def stop_after_50(*_: Any) -> str:
        if next(updates) == 50:
            raise KeyboardInterrupt
        return ""

    with monkeypatch.context() as patched:
        patched.setattr("repro.engine.stages.train.note_of", stop_after_50)
        with pytest.raises(KeyboardInterrupt):
            run([path], **places)
    run([path], **places)

    whole, parts = (
        left(ledger, path)["train toy-flow"].checkpoints for ledger in (root, places["root"])
    )
    assert [each.step for each in parts] == [0, 20, 40, 60]
    assert [(each.weights, each.state) for each in parts] == [
        (each.weights, each.state) for each in whole
    ]


def reasons(root: Path, stage: history.DoneStage) -> str:
    archive = Archive(root)
    (row,) = archive.rows[stage.stage_id]
    return "\n".join(each.reason for each in refusals(row, archive, Terms()))


def test_the_gate_asks_for_its_calibration(root: Path, path: Path):
    """A sampler that brings its known answer has given it; one that brings none is refused."""
    done = left(root, path)

    assert "known answer" not in reasons(root, done["evaluate best"])
    assert "'toy-uncalibrated' was never held against a known answer" in reasons(
        root, done["evaluate plain"]
    )


def test_a_biased_sampler_of_others_is_refused(path: Path, tmp_path: Path):
    """It stops half-way, so half of the noise stays: the spec must say that this is meant."""
    changes = ["evaluate.best.sample.sampler.halved=true"]
    (outcome,) = run([path], root=tmp_path / "ledger", cache=tmp_path / "cache", overrides=changes)

    assert outcome.status == "failed"
    assert "toy-midpoint with 16 network calls turns a perfect network" in outcome.problems[0]


def test_it_is_rehearsed(path: Path, tmp_path: Path):
    """Its own fields say how small."""
    (spec,) = load(path)

    (outcome,) = run([path], root=tmp_path / "ledger", cache=tmp_path / "cache", rehearse=True)

    assert outcome.status == "done", outcome.problems
    assert rehearsal(spec).network.width == 4  # type: ignore[union-attr]


def test_without_the_package_its_kinds_are_unknown(path: Path):
    """The spec says what is missing; nothing else of the installation suffers."""
    command = [sys.executable, "-m", "repro", "plan", str(path)]

    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert "unknown kind 'toy-squares'" in done.stderr


@pytest.mark.parametrize("name", LOOP_FILES)
def test_the_loops_know_no_family(name: str):
    """What trains, keeps, samples, measures and asks imports nothing of a family of models."""
    text = (Path(repro.__file__).parent / name).read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]

    named = {f"{node.module}.{each.name}" for node in nodes for each in node.names}

    assert not [each for each in sorted(named) if each.startswith(FAMILIES)]


def test_a_broken_builder_breaks_only_its_specs(path: Path, tmp_path: Path):
    """A sampler of others on an objective that has no perfect network says what is missing."""
    from repro.engine.calibrate_own import calibrate_own
    from repro.spec.objective import Drifting

    with pytest.raises(RunError, match="must name a function for 'drifting' in the entry-point"):
        calibrate_own(load(path)[0].evaluate[0].sample.sampler, Drifting())  # type: ignore[union-attr]
