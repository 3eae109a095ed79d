"""What a run will do: its stages, which are done, which are not and why, and what is missing.

Nothing here loads torch, reads a data set or touches the network.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from repro.engine import resources
from repro.ledger import history
from repro.spec import Spec, Stage, run_id, stages
from repro.spec.data import Cifar10, FashionMnist, ImageFolder, TensorFile
from repro.spec.evaluate import FileReference, InceptionV3Compat


@frozen(kw_only=True)
class PlannedStage:
    """A stage and where it stands. `missing` says what it lacks and how to get it."""

    stage_id: str
    kind: str
    name: str
    inputs: tuple[str, ...]
    state: Literal["done", "to do", "blocked"]
    why: str
    missing: tuple[str, ...] = ()


@frozen(kw_only=True)
class RunPlan:
    """The stages of one run in the order in which they run."""

    run_id: str
    title: str
    stages: tuple[PlannedStage, ...]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to compute."""
        return all(stage.state == "done" for stage in self.stages)

    @property
    def blocked(self) -> tuple[str, ...]:
        """What must be supplied by hand before anything can start."""
        lines = [
            line for stage in self.stages if stage.state == "blocked" for line in stage.missing
        ]
        return tuple(dict.fromkeys(lines))


def plan(spec: Spec, *, root: Path, cache: Path, offline: bool = False) -> RunPlan:
    """Hold the stages of a spec against the ledger and the cache."""
    wanted = stages(spec)
    done = history.done_stages(root, [stage.stage_id for stage in wanted])
    checkpoints = _saved_steps(root, [stage for stage in wanted if stage.stage_id not in done])
    return RunPlan(
        run_id=run_id(spec),
        title=spec.title,
        stages=tuple(
            _planned(stage, done=done, saved=checkpoints, cache=cache, offline=offline)
            for stage in wanted
        ),
    )


def _saved_steps(root: Path, open_stages: Sequence[Stage]) -> dict[str, int]:
    trained = [stage for stage in open_stages if stage.kind in ("train", "encoder")]
    return {
        stage.stage_id: max(each.step for each in found)
        for stage in trained
        if (found := history.checkpoints_of(root, stage.stage_id))
    }


def _planned(
    stage: Stage, *, done: Mapping[str, Any], saved: Mapping[str, int], cache: Path, offline: bool
) -> PlannedStage:
    if stage.stage_id in done:
        return _at(stage, state="done", why=f"by {done[stage.stage_id].execution_id}")
    lacking = [need for need in needs(stage) if not need.present(cache)]
    fetched = [need for need in lacking if need.fetchable and not offline]
    missing = tuple(need.how_to_get for need in lacking if need not in fetched)
    if missing:
        return _at(stage, state="blocked", why="an input is missing", missing=missing)
    return _at(stage, state="to do", why=_why(stage, saved=saved, fetched=fetched))


def _why(stage: Stage, *, saved: Mapping[str, int], fetched: "Sequence[Need]") -> str:
    if stage.stage_id in saved:
        return f"interrupted: continues after step {saved[stage.stage_id]}"
    if fetched:
        return f"not in the ledger; fetches {', '.join(need.name for need in fetched)} first"
    return "not in the ledger"


def _at(stage: Stage, *, state: Any, why: str, missing: tuple[str, ...] = ()) -> PlannedStage:
    return PlannedStage(
        stage_id=stage.stage_id,
        kind=stage.kind,
        name=stage.name,
        inputs=stage.inputs,
        state=state,
        why=why,
        missing=missing,
    )


@frozen(kw_only=True)
class Need:
    """An input of a stage that no stage makes: a resource to fetch or a file of the user's."""

    name: str
    fetchable: bool

    def present(self, cache: Path) -> bool:
        """Whether it is here; its content is verified when it is read."""
        if self.fetchable:
            return resources.present(self.name, cache)
        return Path(self.name).exists()

    @property
    def how_to_get(self) -> str:
        """One line for a person."""
        if self.fetchable:
            return f"{self.name}: {resources.how_to_get(self.name)}"
        return f"{self.name}: no such file or folder; put it there or correct the path in the spec"


def needs(stage: Stage) -> tuple[Need, ...]:
    """The inputs of one stage, read from the types of its part of the spec."""
    found = {need.name: need for part in parts(stage.spec) if (need := _need(part))}
    return tuple(found.values())


def parts(value: Any) -> Sequence[Any]:
    """A spec value and everything in it."""
    from attrs import fields, has

    if isinstance(value, Mapping):
        return [each for item in value.values() for each in parts(item)]
    if isinstance(value, tuple | list):
        return [each for item in value for each in parts(item)]
    if has(type(value)):
        inner = [each for one in fields(type(value)) for each in parts(getattr(value, one.name))]
        return [value, *inner]
    return [value]


def _need(part: Any) -> Need | None:
    match part:
        case Cifar10():
            return Need(name="cifar10", fetchable=True)
        case FashionMnist():
            return Need(name="fashion-mnist", fetchable=True)
        case ImageFolder(path=path) | TensorFile(path=path) | FileReference(path=path):
            return Need(name=path, fetchable=False)
        case InceptionV3Compat(inception_weights="standard"):
            return Need(name="inception", fetchable=True)
        case _:
            return None
