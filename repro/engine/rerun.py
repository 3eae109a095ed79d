"""Doing a finished run once more, from what its execution recorded, and on the record.

Its spec and its code are put into a fresh folder, with the environment variables that it had; a
process of its own runs them there, into a ledger of its own, so that nothing is reused. What the
comparison says is kept in the original ledger, in an execution with the purpose `rerun`.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from attrs import evolve, frozen

from repro.engine.materialize import Code, materialize
from repro.engine.progress import Progress, Silent
from repro.errors import IntegrityError, LedgerError, RunError, SpecError
from repro.ledger import durable, history, segment
from repro.ledger.chain import ChainError
from repro.ledger.history import Execution
from repro.ledger.provenance import ENVIRONMENT
from repro.ledger.records import Decision, Facts, Provenance, Record, Start
from repro.spec import Spec, load, run_id, spec_of, structure
from repro.spec.converter import NOT_RECORDED
from repro.spec.structure import dump
from repro.spec.written import as_toml

_PLACES = ("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "LANG", "LC_ALL", "SLURM_")
"""Recorded variables that say where, not how, something was computed: they stay as they are."""


@frozen(kw_only=True)
class Again:
    """A run that was done once more.

    `execution_id` was repeated; `again_id` did it, in the ledger `root`, with the code that `code`
    says.
    """

    execution_id: str
    root: Path
    again_id: str
    code: str


class Comparison(Protocol):
    """What came out of a rerun; `facts` are recorded."""

    @property
    def facts(self) -> Facts: ...


Compared = TypeVar("Compared", bound=Comparison)


def rerun(
    root: Path,
    beginning: str,
    *,
    cache: Path,
    compare: Callable[[Again], Compared],
    folder: Path | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Compared:
    """Run what an execution ran, in a new *folder*, and record what *compare* makes of it.

    *beginning* is how the id of a finished execution begins, or of a run, which stands for the last
    that finished it. The default folder is `reruns/<id of the record>` in the ledger.

    Raises:
        LedgerError: there is no such execution, or the folder is there already.
        SpecError: its spec cannot be read by this version.
        RunError: its code cannot be had, or the run failed again.
        IntegrityError: its segment, its patch or its sources are not what was recorded.
    """
    original = _finished(root, beginning)
    said = _records(root, original)
    known = {each.provider: each.value for each in said if isinstance(each, Provenance)}
    spec = _spec(original.start, known)
    if folder is not None:
        _require_fresh(folder)  # before anything is on record
    with segment.begin(root, _start(original.start)) as record:
        own = (folder or root / "reruns" / record.execution_id).absolute()
        _make(own)
        code = materialize(root, known, own / "code")
        (progress or Silent()).notify(f"{own}: runs {code.origin}")
        path = _write(own / "specs", spec, original.start)
        options = ["--device", device, *(["--offline"] if offline else [])]
        again = own / "ledger"
        places = ["--ledger", str(again), "--cache", str(cache.absolute())]
        _run([*places, "run", str(path), *options], code, cwd=own, variables=_variables(known))
        compared = compare(
            Again(
                execution_id=original.execution_id,
                root=again,
                again_id=_finished(again, run_id(spec)).execution_id,
                code=code.origin,
            )
        )
        record.append(Decision(topic="rerun", facts=compared.facts))
    return compared


def _finished(root: Path, beginning: str) -> Execution:
    """The last execution of a run that ended well; a rehearsal's numbers are worth no repeat.

    Raises:
        LedgerError: there is none.
    """
    attempts = [each for each in history.find(root, beginning) if each.start.purpose == "run"]
    done = [each for each in attempts if each.status == "done"]
    if not done:
        found = ", ".join(f"{each.execution_id} is {each.status}" for each in attempts)
        raise LedgerError(
            f"{root}: {beginning!r}: expected a run that ended well, found: {found or 'no run'}"
        )
    return done[-1]


def _records(root: Path, execution: Execution) -> list[Record | None]:
    path = history.segment_path(root, execution.execution_id)
    try:
        return [history.decoded(line) for line in history.read_lines(path)]
    except ChainError as error:
        raise IntegrityError(f"{path}: {error}; nothing can be compared with it") from error


def _start(original: Start) -> Start:
    return Start(
        purpose="rerun",
        run_id=original.run_id,
        study=original.study,
        title=original.title,
        spec_path=original.spec_path,
        canonical_spec=original.canonical_spec,
        command=tuple(sys.argv),
    )


def _spec(start: Start, known: Mapping[str, Mapping[str, Any]]) -> Spec:
    """The recorded spec. Paths are not recorded: they come from the file, if it is still there.

    Raises:
        SpecError: another version wrote the spec, or it needs a path that nobody knows.
    """
    recorded = spec_of((start.canonical_spec or "").encode(), recorded_id=start.run_id)
    spec = evolve(recorded, title=start.title)
    if NOT_RECORDED not in _texts(dump(spec)):
        return spec
    arguments = known.get("command", {}).get("arguments", start.command)
    for each in _loaded(Path(start.spec_path), _overrides(arguments)):
        if run_id(each) == start.run_id:
            return structure(_absolute(dump(each)))
    raise SpecError(
        f"{start.spec_path}: not the spec of run {start.run_id} any more, or not here; only it says"
        " where the run's input files lie: give the command in the folder of the original"
    )


def _loaded(path: Path, overrides: Sequence[str]) -> Sequence[Spec]:
    try:
        return load(path, overrides=overrides)
    except SpecError:
        return ()


def _overrides(arguments: Sequence[str]) -> list[str]:
    """The values of `--set` in a command line."""
    return [
        *(value for option, value in itertools.pairwise(arguments) if option == "--set"),
        *(each.removeprefix("--set=") for each in arguments if each.startswith("--set=")),
    ]


def _texts(value: Any) -> list[Any]:
    match value:
        case Mapping():
            return [each for item in value.values() for each in _texts(item)]
        case list() | tuple():
            return [each for item in value for each in _texts(item)]
        case _:
            return [value]


def _absolute(value: Any) -> Any:
    """A spec's plain data with absolute paths: it runs in another folder."""
    match value:
        case Mapping():
            return {
                key: str(Path(item).absolute()) if _leads_to_a_file(key, item) else _absolute(item)
                for key, item in value.items()
            }
        case list() | tuple():
            return [_absolute(item) for item in value]
        case _:
            return value


def _leads_to_a_file(key: str, value: Any) -> bool:
    return key == "path" or (key == "repository" and Path(value).is_dir())


def _require_fresh(folder: Path) -> None:
    """Refuse a folder that is there.

    Raises:
        LedgerError: it is.
    """
    if folder.exists() or folder.is_symlink():
        raise LedgerError(f"{folder}: is already there; a rerun needs a fresh folder, name another")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise durable.refused(folder, error, what="nothing can be run there") from error


def _write(folder: Path, spec: Spec, start: Start) -> Path:
    """The spec as a file in a folder named as the study, as the original was."""
    path = folder / (start.study or "study") / (Path(start.spec_path).name or "spec.toml")
    path.parent.mkdir(parents=True)
    path.write_text(as_toml(spec), encoding="utf-8")
    return path.absolute()


def _run(arguments: Sequence[str], code: Code, *, cwd: Path, variables: Mapping[str, str]) -> None:
    """Run a command of the recorded code, and let it talk.

    Raises:
        RunError: it failed.
    """
    command = [sys.executable, "-P", "-m", "repro", *arguments]
    imports = {} if code.folder is None else {"PYTHONPATH": str(code.folder)}
    done = subprocess.run(
        command,
        check=False,
        env={**variables, **imports},
        cwd=code.folder or cwd,
        stdout=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise RunError(f"{cwd}: the run failed again, with exit status {done.returncode}")


def _variables(known: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The environment of this process, with the variables that can move a number as they were."""
    recorded = {name: str(value) for name, value in known.get("environment", {}).items()}
    num_threads = known.get("computing", {}).get("num_threads")
    if num_threads is not None:
        recorded.setdefault("OMP_NUM_THREADS", str(num_threads))
    moving = [name for name in ENVIRONMENT if not name.startswith(_PLACES)]
    kept = {name: value for name, value in os.environ.items() if name not in moving}
    return kept | {name: recorded[name] for name in moving if name in recorded}
