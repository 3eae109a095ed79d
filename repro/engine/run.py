"""Running a spec: every stage that the ledger does not hold yet, in order, on the record.

Torch is loaded when the first stage must compute, so a finished run costs almost nothing.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from repro.engine import resources
from repro.engine.device import resolve
from repro.engine.execution import Execution
from repro.engine.plan import RunPlan, needs, plan
from repro.engine.progress import Progress, Silent
from repro.errors import ResourceError
from repro.ledger import history, provenance, segment
from repro.ledger.fold import fold
from repro.ledger.records import StageEvent, Start
from repro.spec import Spec, Stage, canonical_spec, load, rehearsal, run_id, stages


@frozen(kw_only=True)
class Outcome:
    """How a run stands after the command: which execution finished it, and its measurements."""

    run_id: str
    title: str
    execution_id: str
    computed: bool
    measurements: tuple[dict[str, Any], ...]

    @property
    def facts(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return {
            "run_id": self.run_id,
            "title": self.title,
            "execution_id": self.execution_id,
            "computed": self.computed,
            "measurements": list(self.measurements),
        }


def run(
    path: Path,
    *,
    root: Path,
    cache: Path,
    overrides: Sequence[str] = (),
    rehearse: bool = False,
    offline: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
    show_plan: Callable[[RunPlan], None] = lambda _: None,
) -> list[Outcome]:
    """Run every spec that a file resolves to; what the ledger already holds is not done again.

    Raises:
        SpecError: the file cannot be run as it stands.
        ResourceError: an input is missing; nothing has started, and every missing one is listed.
        RunError: a stage could not go on; the execution is sealed as failed.
    """
    specs = [rehearsal(each) if rehearse else each for each in load(path, overrides=overrides)]
    plans = [plan(each, root=root, cache=cache, offline=offline) for each in specs]
    if missing := [line for each in plans for line in each.blocked]:
        raise ResourceError(*(f"{path}: missing input: {line}" for line in dict.fromkeys(missing)))
    outcomes = []
    for spec in specs:
        now = plan(spec, root=root, cache=cache, offline=offline)  # the run before may share stages
        show_plan(now)
        outcomes.append(
            _finished(root, now)
            or _execute(
                spec,
                path=path,
                root=root,
                cache=cache,
                rehearse=rehearse,
                offline=offline,
                device=device,
                progress=progress or Silent(),
            )
        )
    return outcomes


def _finished(root: Path, planned: RunPlan) -> Outcome | None:
    """The outcome of a run that has nothing left to do, and an execution that says so."""
    if not planned.finished:
        return None
    ended = [
        each
        for each in history.executions(root, run_id=planned.run_id)
        if each.status == "done" and each.start.purpose in ("run", "rehearsal")
    ]
    if not ended:
        return None
    done = history.done_stages(root, [stage.stage_id for stage in planned.stages])
    measured = [done[stage.stage_id] for stage in planned.stages if stage.kind == "evaluate"]
    return Outcome(
        run_id=planned.run_id,
        title=planned.title,
        execution_id=ended[-1].execution_id,
        computed=False,
        measurements=_measurements(zip(_names(planned), measured, strict=True)),
    )


def _names(planned: RunPlan) -> list[str]:
    return [stage.name for stage in planned.stages if stage.kind == "evaluate"]


def _measurements(named: Any) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "evaluation": name,
            "metric": each.metric,
            "value": each.value,
            "se": each.se,
            "num_samples": each.num_samples,
            "protocol_id": each.protocol_id,
        }
        for name, stage in named
        for each in stage.measurements
    )


def _execute(
    spec: Spec,
    *,
    path: Path,
    root: Path,
    cache: Path,
    rehearse: bool,
    offline: bool,
    device: str,
    progress: Progress,
) -> Outcome:
    wanted = stages(spec)
    done = history.done_stages(root, [stage.stage_id for stage in wanted])
    if len(done) < len({stage.stage_id for stage in wanted}):
        device = resolve(device)  # loads torch, so that provenance knows its version
    start = _start(spec, wanted, path=path, rehearse=rehearse)
    with segment.begin(root, start) as open_segment:
        execution = Execution(
            spec=spec,
            stages={stage.stage_id: stage for stage in wanted},
            segment=open_segment,
            root=root,
            cache=cache,
            device=device,
            offline=offline,
            progress=progress,
            done=done,
        )
        for record in provenance.capture(root, cwd=Path.cwd()):
            execution.record(record)
        for stage in wanted:
            if stage.stage_id in execution.done:
                _reuse(execution, stage)
            else:
                _do(execution, stage)
    fold(root)
    evaluated = [stage for stage in wanted if stage.kind == "evaluate"]
    return Outcome(
        run_id=run_id(spec),
        title=spec.title,
        execution_id=open_segment.execution_id,
        computed=True,
        measurements=_measurements(
            (each.name, execution.done[each.stage_id]) for each in evaluated
        ),
    )


def _start(spec: Spec, wanted: Sequence[Stage], *, path: Path, rehearse: bool) -> Start:
    return Start(
        run_id=run_id(spec),
        purpose="rehearsal" if rehearse else "run",
        study=path.resolve().parent.name,
        title=spec.title,
        spec_path=os.path.relpath(path),
        canonical_spec=canonical_spec(spec).decode(),
        command=tuple(sys.argv),
        stages=tuple(
            {
                "stage_id": stage.stage_id,
                "kind": stage.kind,
                "name": stage.name,
                "inputs": list(stage.inputs),
            }
            for stage in wanted
        ),
    )


def _reuse(execution: Execution, stage: Stage) -> None:
    earlier = execution.done[stage.stage_id]
    facts = {"execution_id": earlier.execution_id}
    if earlier.execution_id != execution.segment.execution_id:
        execution.record(_event(stage, "reused", facts=facts))


def _do(execution: Execution, stage: Stage) -> None:
    """Fetch what a stage needs, run it, and record how it ended."""
    execution.record(_event(stage, "started"))
    first = len(execution.records)
    wall, cpu = time.monotonic(), time.process_time()
    try:
        for need in needs(stage):
            if need.fetchable and not need.present(execution.cache):
                resources.fetch(
                    need.name,
                    cache=execution.cache,
                    offline=execution.offline,
                    notify=execution.progress.notify,
                    track=execution.progress.track,
                )
        from repro.engine.stages.table import STAGES

        facts = STAGES[stage.kind](execution, stage)
    except KeyboardInterrupt:
        raise  # the seal says so
    except BaseException:
        execution.record(_event(stage, "failed", elapsed_s=time.monotonic() - wall))
        raise
    event = _event(
        stage,
        "done",
        elapsed_s=time.monotonic() - wall,
        cpu_s=time.process_time() - cpu,
        facts=facts,
    )
    execution.record(event)
    execution.done[stage.stage_id] = history.gathered(
        execution.segment.execution_id, event, execution.records[first:]
    )


def _event(stage: Stage, event: Any, **more: Any) -> StageEvent:
    return StageEvent(
        stage_id=stage.stage_id, stage_kind=stage.kind, name=stage.name, event=event, **more
    )
