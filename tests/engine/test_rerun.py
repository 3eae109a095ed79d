"""A finished run, done once more by a process of its own, and on the record."""

import sys
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import frozen

from repro.engine import rerun as reruns
from repro.engine.rerun import rerun
from repro.engine.run import run
from repro.errors import LedgerError, RunError, SpecError
from repro.ledger import history, query, segment, verify
from repro.ledger.records import Start
from repro.report.rerun import compare
from repro.spec import canonical_spec, dump, load, run_id
from tests.engine import tiny

SHORT = tiny.DENOISE.replace("steps = 12", "steps = 4")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "ledger"


@frozen(kw_only=True)
class Nothing:
    """A comparison that found nothing."""

    facts: Mapping[str, Any] = {}


def again(root, beginning, **more):
    """Run an execution again and compare nothing."""
    cache = root.with_name("cache")
    return rerun(root, beginning, cache=cache, compare=lambda _: Nothing(), **more)


def recorded(root, path, *, purpose="run", outcome="done", command=()):
    """An execution of a spec that left no stage; its id."""
    (spec,) = load(path)
    start = Start(
        purpose=purpose,
        run_id=run_id(spec),
        study="toy",
        title=spec.title,
        spec_path=str(path),
        canonical_spec=canonical_spec(spec).decode(),
        command=command,
    )
    execution = segment.begin(root, start)
    execution.seal(outcome)
    return execution.execution_id


def test_a_run_comes_out_again_bit_for_bit(root, tmp_path, monkeypatch):
    """From its stored sources, in a ledger of its own, and the verdict is kept in the first one."""
    monkeypatch.chdir(tmp_path)
    (first,) = run([tiny.write(tmp_path, SHORT)], root=root, cache=tmp_path / "cache")

    found = rerun(
        root,
        first.run_id[:8],
        cache=tmp_path / "cache",
        compare=lambda again: compare(
            root,
            again.execution_id,
            again.root,
            again.again_id,
            code=again.code,
            reports=tmp_path / "reports",
        ),
    )

    assert (found.grade, found.changes) == ("bitwise", ())
    statement = "SELECT purpose, topic, facts->>'grade' FROM decisions JOIN starts USING"
    table = query(root, f"{statement} (execution_id) WHERE topic = 'rerun'")
    assert table.rows == (("rerun", "rerun", "bitwise"),)
    assert verify(root) == []


@pytest.fixture
def fails(monkeypatch):
    """Whatever is run ends badly."""
    monkeypatch.setattr(sys, "executable", "/bin/false")


@pytest.mark.usefixtures("fails")
def test_a_rerun_that_fails_is_on_record(root, tmp_path):
    """It was begun before it computed, and is sealed as failed."""
    execution_id = recorded(root, tiny.write(tmp_path))

    with pytest.raises(RunError, match="failed again, with exit status 1"):
        again(root, execution_id)

    last = history.executions(root)[-1]
    assert (last.start.purpose, last.status) == ("rerun", "failed")


@pytest.mark.parametrize("unfit", [{"outcome": "failed"}, {"purpose": "rehearsal"}])
def test_only_a_run_that_ended_well_can_be_repeated(root, tmp_path, unfit):
    """A failed one left nothing to compare, a rehearsal nothing that counts."""
    execution_id = recorded(root, tiny.write(tmp_path), **unfit)

    with pytest.raises(LedgerError, match="expected a run that ended well"):
        again(root, execution_id)


def test_a_rerun_needs_a_fresh_folder(root, tmp_path):
    """What lies there could be taken for what it computed."""
    execution_id = recorded(root, tiny.write(tmp_path))
    (tmp_path / "there").mkdir()

    with pytest.raises(LedgerError, match="already there"):
        again(root, execution_id, folder=tmp_path / "there")

    assert len(history.executions(root)) == 1


def test_a_rerun_needs_a_folder_that_can_be_made(root, tmp_path):
    """The message says why it cannot."""
    execution_id = recorded(root, tiny.write(tmp_path))
    (tmp_path / "file").touch()

    with pytest.raises(LedgerError, match="nothing can be run there: Not a directory"):
        again(root, execution_id, folder=tmp_path / "file" / "x")


def folder_spec(folder, path):
    """A spec that reads a folder of images."""
    zeros = "0" * 64
    data = f'kind = "image-folder"\npath = "{path}"\ndigest = "sha256:{zeros}"'
    return tiny.write(folder, tiny.DENOISE.replace('kind = "digits"', data))


@pytest.mark.usefixtures("fails")
def test_the_paths_of_inputs_come_from_the_spec_file(root, tmp_path, monkeypatch):
    """They are in no record; the file is asked, and they become absolute."""
    monkeypatch.chdir(tmp_path)
    execution_id = recorded(root, folder_spec(tmp_path, "images"))

    with pytest.raises(RunError):
        again(root, execution_id)

    (written,) = root.glob("reruns/*/specs/toy/tiny.toml")
    (spec,) = load(written)
    assert dump(spec)["data"]["path"] == str(tmp_path / "images")
    assert run_id(spec) == history.executions(root)[0].start.run_id


@pytest.mark.usefixtures("fails")
@pytest.mark.parametrize("there", [True, False])
def test_an_autoencoder_in_a_folder_is_found_again_and_one_of_the_hub_too(
    root, tmp_path, monkeypatch, there
):
    """A folder becomes absolute; a name of the hub stays one, with its revision."""
    monkeypatch.chdir(tmp_path)
    if there:
        (tmp_path / "some" / "vae").mkdir(parents=True)
    coder = f'kind = "autoencoder-kl", repository = "some/vae", weights = "sha256:{"0" * 64}"'
    data = (
        'kind = "latents"\nimages = { kind = "cifar10" }\n'
        f'autoencoder = {{ {coder}, revision = "old" }}'
    )
    path = tiny.write(tmp_path, tiny.DENOISE.replace('kind = "digits"', data))
    execution_id = recorded(root, path)

    with pytest.raises(RunError):
        again(root, execution_id)

    (written,) = root.glob("reruns/*/specs/toy/tiny.toml")
    found = dump(load(written)[0])["data"]["autoencoder"]
    assert found["repository"] == (str(tmp_path / "some" / "vae") if there else "some/vae")
    assert found["revision"] == "old"


@pytest.mark.usefixtures("fails")
def test_values_of_the_command_line_count(root, tmp_path):
    """A spec file and its `--set` name the run together."""
    path = folder_spec(tmp_path, "images")
    (changed,) = load(path, overrides=["train.steps=8"])
    execution = segment.begin(
        root,
        Start(
            purpose="run",
            run_id=run_id(changed),
            spec_path=str(path),
            canonical_spec=canonical_spec(changed).decode(),
            command=("repro", "run", str(path), "--set", "train.steps=8"),
        ),
    )
    execution.seal("done")

    with pytest.raises(RunError):
        again(root, execution.execution_id)

    (written,) = root.glob("reruns/*/specs/study/tiny.toml")
    assert run_id(load(written)[0]) == run_id(changed)


def test_a_path_that_nobody_knows_is_asked_for(root, tmp_path):
    """The spec file has changed since, so it does not say where the images of the run lay."""
    path = folder_spec(tmp_path, "images")
    execution_id = recorded(root, path)
    path.write_text(path.read_text().replace("steps = 12", "steps = 8"))

    with pytest.raises(SpecError, match="where the run's input files lie"):
        again(root, execution_id)


def test_variables_that_move_a_number_are_as_they_were(monkeypatch):
    """Others are this process's own; those that were not set then are not set now."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.setenv("OF_THIS_PROCESS", "yes")
    recorded: Any = {"environment": {"MKL_NUM_THREADS": "3"}, "computing": {"num_threads": 2}}

    variables = reruns._variables(recorded)

    assert variables["MKL_NUM_THREADS"] == "3"
    assert variables["OMP_NUM_THREADS"] == "2"
    assert variables["OF_THIS_PROCESS"] == "yes"
    assert "NVIDIA_TF32_OVERRIDE" not in variables
