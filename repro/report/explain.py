"""Why two runs have different ids, and which of their stages do.

An id is the digest of a resolved spec, defaults included, so the fields that moved it are the ones
whose values differ. A stage's id is the digest of its own part and of the ids that it builds on:
what kept its id is work that the two runs share.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from attrs import frozen

from repro.report.changes import Change, changes
from repro.report.named_run import NamedRun, PlannedStage, named_run


@frozen(kw_only=True)
class StageChange:
    """A stage of one run beside its counterpart in the other; its ids, and why they differ.

    `fields` are those of its own part that differ; none if that part is not known. `inputs` are
    the stages that it builds on and whose ids differ, or that only one of the two builds on.
    """

    kind: str
    name: str
    what: Literal["kept", "moved", "added", "removed"]
    old_id: str | None
    new_id: str | None
    fields: tuple[Change, ...] | None = ()
    inputs: tuple[str, ...] = ()


@frozen(kw_only=True)
class Explanation:
    """Two runs, the fields of the specs that differ, and every stage of either."""

    old: NamedRun
    new: NamedRun
    fields: tuple[Change, ...]
    stages: tuple[StageChange, ...]


def explain(root: Path, old: str, new: str, *, overrides: Sequence[str] = ()) -> Explanation:
    """Why two runs, each a spec file or a recorded id, have different ids.

    *overrides*, `a.b=value`, are of the new one: so a file can be held against itself.

    Raises:
        SpecError: a file cannot be read as one spec, or there are overrides of a recorded run.
        LedgerError: an id is not in the ledger, or its spec is not what it names.
    """
    return between(named_run(root, old), named_run(root, new, overrides=overrides))


def between(old: NamedRun, new: NamedRun) -> Explanation:
    """The explanation of two runs that are known already."""
    return Explanation(
        old=old,
        new=new,
        fields=changes(old.spec, new.spec),
        stages=tuple(_stages(old.stages, new.stages)),
    )


def lines(explanation: Explanation) -> Iterator[str]:
    """What a person reads: the two ids, the fields, the stages."""
    old, new = explanation.old, explanation.new
    yield f"{old.run_id}  {old.name}  {old.title}".rstrip()
    yield f"{new.run_id}  {new.name}  {new.title}".rstrip()
    yield ""
    if old.run_id == new.run_id:
        yield "one run: titles, notes, paths and the order of keys are in no id"
    else:
        yield "fields that move the id"
        yield from (f"  {change}" for change in explanation.fields)
    yield ""
    yield "stages"
    for stage in explanation.stages:
        yield f"  {stage.what:7}  {stage.kind} {stage.name}  {_ids(stage)}{_why(stage)}"


def _ids(stage: StageChange) -> str:
    return " -> ".join(dict.fromkeys(each for each in (stage.old_id, stage.new_id) if each))


def _why(stage: StageChange) -> str:
    if stage.what != "moved":
        return ""
    own = ["its own part is not known"] if stage.fields is None else map(str, stage.fields)
    inputs = [f"builds on {', '.join(stage.inputs)}"] if stage.inputs else []
    return f"  ({'; '.join((*own, *inputs)) or 'named by another version of this program'})"


def _stages(old: Sequence[PlannedStage], new: Sequence[PlannedStage]) -> Iterator[StageChange]:
    """Each stage beside its counterpart: of the same name, or else the next one of its kind."""
    known = {stage.stage_id: f"{stage.kind} {stage.name}" for stage in (*old, *new)}
    named, left = _by_name(new), _by_name(old)
    counterparts = {left.pop(key).key: named.pop(key) for key in (*left,) if key in named}
    others: dict[str, list[PlannedStage]] = defaultdict(list)
    for stage in named.values():
        others[stage.kind].append(stage)
    for stage in old:
        counterpart = counterparts.get(stage.key)
        if counterpart is None and others[stage.kind]:
            counterpart = others[stage.kind].pop(0)
        yield _only(stage, "removed") if counterpart is None else _both(stage, counterpart, known)
    yield from (_only(stage, "added") for stages in others.values() for stage in stages)


def _by_name(stages: Sequence[PlannedStage]) -> dict[tuple[str, str, int], PlannedStage]:
    """The stages by kind and name, and a count of those that share both."""
    found: dict[tuple[str, str, int], PlannedStage] = {}
    for stage in stages:
        times = sum((stage.kind, stage.name) == key[:2] for key in found)
        found[stage.kind, stage.name, times] = stage
    return found


def _both(old: PlannedStage, new: PlannedStage, known: Mapping[str, str]) -> StageChange:
    moved = old.stage_id != new.stage_id
    return StageChange(
        kind=new.kind,
        name=new.name,
        what="moved" if moved else "kept",
        old_id=old.stage_id,
        new_id=new.stage_id,
        fields=_own_fields(old, new),
        inputs=_moved_inputs(old, new, known),
    )


def _only(stage: PlannedStage, what: Literal["added", "removed"]) -> StageChange:
    return StageChange(
        kind=stage.kind,
        name=stage.name,
        what=what,
        old_id=stage.stage_id if what == "removed" else None,
        new_id=stage.stage_id if what == "added" else None,
    )


def _own_fields(old: PlannedStage, new: PlannedStage) -> tuple[Change, ...] | None:
    if old.payload is None or new.payload is None:
        return () if old.stage_id == new.stage_id else None
    return changes(old.payload, new.payload)


def _moved_inputs(
    old: PlannedStage, new: PlannedStage, known: Mapping[str, str]
) -> tuple[str, ...]:
    """The inputs of only one of the two; all of them where only their order differs."""
    if old.inputs == new.inputs:
        return ()
    either = set(old.inputs) ^ set(new.inputs) or set(new.inputs)
    return tuple(
        dict.fromkeys(known[each] for each in (*old.inputs, *new.inputs) if each in either)
    )
