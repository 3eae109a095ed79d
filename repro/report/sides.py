"""What a side of a claim names: an evaluation of every run that a spec file expands to."""

import itertools
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from repro.errors import ClaimError, SpecError
from repro.report.claims import Subject
from repro.report.naming import SIDE
from repro.spec import Spec, Stage, load, run_id, stages


@frozen(kw_only=True)
class Study:
    """The specs that a claims file names: the path as recorded, and the runs it expands to."""

    paths: Mapping[str, Path]
    runs: Mapping[str, tuple[Spec, ...]]
    problems: Mapping[str, str]
    """Why a spec could not be read, by its name."""
    commands: Mapping[str, str]
    """What runs a spec, by its name."""
    beside: frozenset[str] = frozenset()
    """The specs of other studies, of which controls and plots alone speak."""

    @property
    def own(self) -> Mapping[str, tuple[Spec, ...]]:
        """The runs of the study's own specs."""
        return {name: runs for name, runs in self.runs.items() if name not in self.beside}

    @property
    def folders(self) -> frozenset[str]:
        """The folders of the study's own specs, as executions record them."""
        own = (path for name, path in self.paths.items() if name not in self.beside)
        return frozenset(path.absolute().parent.name for path in own)


@frozen(kw_only=True)
class Side:
    """One evaluation: its stage in each run of the spec."""

    name: str
    path: Path
    runs: tuple[Spec, ...]
    stages: tuple[Stage, ...]

    @property
    def run_ids(self) -> tuple[str, ...]:
        """What the runs are called now."""
        return tuple(run_id(spec) for spec in self.runs)


def read_specs(named: Mapping[str, Subject], folder: Path, *, beside: Iterable[str] = ()) -> Study:
    """Load every spec that a claims file in *folder* names; those *beside* are not its own."""
    paths, runs, problems, commands = {}, {}, {}, {}
    for name, subject in named.items():
        paths[name] = Path(os.path.relpath(folder / subject.path))
        options = itertools.chain.from_iterable(("--set", each) for each in subject.overrides)
        command = ("python", "-m", "repro", "run", str(paths[name]), *options)
        commands[name] = shlex.join(command)
        try:
            runs[name] = load(paths[name], overrides=subject.overrides)
        except SpecError as error:
            problems[name] = str(error)
    return Study(
        paths=paths, runs=runs, problems=problems, commands=commands, beside=frozenset(beside)
    )


def labels(study: Study, *, kind: str = "evaluate") -> dict[str, str]:
    """What to call each evaluation, or probe, among all of the study, by its stage.

    Of one spec its name is enough; of several the spec's stands before it, of a sweep the run's
    after it.
    """
    found: dict[str, str] = {}
    for name, runs in study.runs.items():
        before = f"{name}:" if len(study.runs) > 1 else ""
        for spec in runs:
            after = f" ({run_id(spec)[:8]})" if len(runs) > 1 else ""
            for stage in stages(spec):
                if stage.kind == kind:
                    found.setdefault(stage.stage_id, f"{before}{stage.name}{after}")
    return found


def find(name: str, study: Study) -> Side:
    """The side that `spec:evaluation[@step]` names.

    Raises:
        ClaimError: the spec cannot be read, or has no such evaluation.
    """
    match = re.fullmatch(SIDE, name)
    if match is None or match["spec"] not in study.paths:
        raise ClaimError(f"{name}: names no spec; expected one of: {', '.join(study.paths)}")
    spec = match["spec"]
    if spec in study.problems:
        raise ClaimError(study.problems[spec])
    found = tuple(_stage(each, match["evaluation"], name) for each in study.runs[spec])
    return Side(name=name, path=study.paths[spec], runs=study.runs[spec], stages=found)


def comparable(names: Iterable[str], study: Study) -> tuple[str, ...]:
    """These sides, and every side of the study that is measured as one of them is.

    All of them are candidates of a comparison, whether it names them or not.

    Raises:
        ClaimError: as `find`.
    """
    named = tuple(names)
    own = [_way(name, study) for name in named]
    tables = (_table(spec, study.runs[spec][0], own) for spec in study.runs if study.runs[spec])
    return tuple(dict.fromkeys((*named, *itertools.chain.from_iterable(tables))))


def table_of(name: str, study: Study) -> tuple[str, ...]:
    """Every side of the same spec that is measured in the same way on as many images.

    Raises:
        ClaimError: as `find`.
    """
    spec_name = name.partition(":")[0]
    own = [_way(name, study)]
    return tuple(dict.fromkeys((name, *_table(spec_name, study.runs[spec_name][0], own))))


def _way(name: str, study: Study) -> tuple[Any, ...]:
    """How a side is measured."""
    side = find(name, study)
    return _measured(side.stages[0], {stage.stage_id: stage for stage in stages(side.runs[0])})


def _table(spec_name: str, spec: Spec, ways: Sequence[tuple[Any, ...]]) -> list[str]:
    """Every side of a spec that is measured in one of these ways."""
    known = {stage.stage_id: stage for stage in stages(spec)}
    return [
        f"{spec_name}:{stage.name}"
        for stage in known.values()
        if stage.kind == "evaluate" and _measured(stage, known) in ways
    ]


def _measured(stage: Stage, known: Mapping[str, Stage]) -> tuple[Any, ...]:
    """How an evaluation measures: metrics, extractor, reference, number of images."""
    inputs = [known[each] for each in stage.inputs]
    counts = [each.payload["sample"]["num_samples"] for each in inputs if each.kind == "sample"]
    others = [each.stage_id for each in inputs if each.kind != "sample"]
    return stage.spec, counts, others


def _stage(spec: Spec, evaluation: str, name: str) -> Stage:
    evaluations = {stage.name: stage for stage in stages(spec) if stage.kind == "evaluate"}
    if evaluation not in evaluations:
        known = ", ".join(evaluations) or "none"
        raise ClaimError(f"{name}: the spec has no such evaluation; it has: {known}")
    return evaluations[evaluation]
