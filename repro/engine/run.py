"""Running a spec: every stage that the ledger does not hold yet, in order, on the record.

Of two commands that need the same stage at once, one computes it and the other waits for it.
Torch is loaded when the first stage must compute, so a finished run costs almost nothing.
"""

import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from repro.engine.device import computing, resolve, torch_as_used
from repro.engine.execution import Execution
from repro.engine.inputs import inputs
from repro.engine.plan import (
    PlannedStage,
    RunPlan,
    check_ready_made,
    done_stages,
    lease_key,
    needs,
    plan,
)
from repro.engine.progress import Progress, Silent
from repro.errors import IntegrityError, LedgerError, ResourceError, RunError
from repro.ledger import history, provenance, segment
from repro.ledger.fold import fold
from repro.ledger.history import DoneStage
from repro.ledger.lease import LEASE_S, Holder, Lease, lease
from repro.ledger.records import StageEvent, Start
from repro.spec import Spec, Stage, canonical_spec, load, rehearsal, run_id, stages


@frozen(kw_only=True)
class Outcome:
    """How a run stands after the command; `problems` says why it failed, if it did."""

    run_id: str
    title: str
    status: Literal["done", "done before", "failed"]
    execution_id: str
    measurements: tuple[dict[str, Any], ...] = ()
    problems: tuple[str, ...] = ()


@frozen(kw_only=True)
class _Job:
    """One run that a command asks for, and how."""

    spec: Spec
    path: Path
    root: Path
    cache: Path
    rehearse: bool
    offline: bool
    device: str
    progress: Progress

    def plan(self) -> RunPlan:
        return plan(
            self.spec,
            root=self.root,
            cache=self.cache,
            rehearsal=self.rehearse,
            offline=self.offline,
        )

    def done(self, wanted: Collection[Stage]) -> dict[str, DoneStage]:
        return done_stages(wanted, root=self.root, rehearsal=self.rehearse)


def run(
    paths: Sequence[Path],
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
    """Run every spec that the files resolve to; what the ledger already holds is not done again.

    A run that fails does not keep the others from running: its outcome says why.

    Raises:
        SpecError: a file cannot be run as it stands; nothing has started.
        ResourceError: an input is missing; nothing has started, and every missing one is listed.
        IntegrityError: reference statistics are not those that a spec names; nothing has started.
        LedgerError: the ledger cannot be written.
    """
    jobs = [
        _Job(
            spec=rehearsal(each) if rehearse else each,
            path=path,
            root=root,
            cache=cache,
            rehearse=rehearse,
            offline=offline,
            device=device,
            progress=progress or Silent(),
        )
        for path in paths
        for each in load(path, overrides=overrides)
    ]
    _require_inputs(jobs)
    return [_run(job, show_plan) for job in jobs]


def _require_inputs(jobs: Sequence[_Job]) -> None:
    """Stop before any work if something cannot be had, or is not what a spec names."""
    plans = [(job, job.plan()) for job in jobs]
    missing = [f"{job.path}: missing: {line}" for job, found in plans for line in found.blocked]
    if missing:
        brought = [
            f"{job.path}: not here either; the run fetches it, or without a network: {line}"
            for job, found in plans
            for line in found.fetched
        ]
        raise ResourceError(*dict.fromkeys([*missing, *brought]))
    for job in jobs:
        wanted = stages(job.spec)
        done = job.done(wanted)
        for stage in wanted:
            if stage.kind == "reference" and stage.stage_id not in done:
                check_ready_made(stage.spec.reference)


def _run(job: _Job, show_plan: Callable[[RunPlan], None]) -> Outcome:
    planned = job.plan()  # again: the run before may have left stages that this one shares
    show_plan(planned)
    for warning in planned.warnings:
        job.progress.notify(f"warning: {warning}")
    return _finished(job, planned) or _execute(job)


def _finished(job: _Job, planned: RunPlan) -> Outcome | None:
    """The outcome of a run that has nothing left to do, and an execution that says so."""
    if not planned.finished:
        return None
    purpose = "rehearsal" if job.rehearse else "run"
    ended = [
        each
        for each in history.executions(job.root, run_id=planned.run_id)
        if each.status == "done" and each.start.purpose == purpose
    ]
    if not ended:
        return None
    done = job.done(stages(job.spec))
    return Outcome(
        run_id=planned.run_id,
        title=planned.title,
        status="done before",
        execution_id=ended[-1].execution_id,
        measurements=_measurements(planned.stages, done),
    )


def _measurements(
    wanted: Iterable[Stage | PlannedStage], done: Mapping[str, DoneStage]
) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "evaluation": stage.name,
            "metric": each.metric,
            "value": each.value,
            "se": each.se,
            "num_samples": each.num_samples,
            "protocol_id": each.protocol_id,
        }
        for stage in wanted
        if stage.kind == "evaluate"
        for each in done[stage.stage_id].measurements
    )


def _execute(job: _Job) -> Outcome:
    wanted = stages(job.spec)
    done = job.done(wanted)
    with_torch = any(stage.stage_id not in done for stage in wanted)
    device = resolve(job.device) if with_torch else job.device
    open_segment = segment.begin(job.root, _start(job, wanted))
    try:
        with open_segment:
            if with_torch:
                done = job.done(wanted)  # again: garbage collection spares it, now that it began
            execution = Execution(
                spec=job.spec,
                stages={stage.stage_id: stage for stage in reversed(wanted)},  # first name wins
                segment=open_segment,
                root=job.root,
                cache=job.cache,
                device=device,
                offline=job.offline,
                rehearsal=job.rehearse,
                progress=job.progress,
                done=done,
            )
            computes = (torch_as_used(), computing(device)) if with_torch else (provenance.torch(),)
            for record in (*computes, *provenance.capture(job.root, cwd=Path.cwd())):
                execution.record(record)
            try:
                for stage in wanted:
                    if stage.stage_id not in execution.done:
                        _take_turns(execution, stage)
                    _reuse(execution, stage)
            finally:
                execution.record(inputs(execution))
    except (RunError, ResourceError, IntegrityError) as error:
        problems = tuple(error.problems)
        return Outcome(
            run_id=run_id(job.spec),
            title=job.spec.title,
            status="failed",
            execution_id=open_segment.execution_id,
            problems=problems,
        )
    finally:
        _fold(job)
    return Outcome(
        run_id=run_id(job.spec),
        title=job.spec.title,
        status="done",
        execution_id=open_segment.execution_id,
        measurements=_measurements(wanted, done),
    )


def _fold(job: _Job) -> None:
    """Bring the database up to the run. What it lacks, the next question adds."""
    try:
        folded = fold(job.root)
    except LedgerError as error:
        job.progress.notify(f"warning: recorded, but not in the database yet: {error}")
        return
    for problem in folded.problems if folded else ():
        job.progress.notify(f"warning: {problem}")


def _start(job: _Job, wanted: Sequence[Stage]) -> Start:
    return Start(
        run_id=run_id(job.spec),
        purpose="rehearsal" if job.rehearse else "run",
        study=_study(job.path.resolve().parent),
        title=job.spec.title,
        spec_path=os.path.relpath(job.path),
        canonical_spec=canonical_spec(job.spec).decode(),
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


def _study(folder: Path) -> str:
    """The name of a spec's folder; that of a home folder is nobody's business."""
    return "~" if folder == Path.home().resolve() else folder.name


def _reuse(execution: Execution, stage: Stage) -> None:
    earlier = execution.done[stage.stage_id]
    facts = {"execution_id": earlier.execution_id}
    if earlier.execution_id != execution.segment.execution_id:
        execution.record(_event(stage, "reused", facts=facts))


def _take_turns(execution: Execution, stage: Stage) -> None:
    """Compute a stage, unless another execution does so first: then wait for what it leaves."""

    def notify(holder: Holder) -> None:
        look = f"; look with: repro show {holder.execution_id}" if holder.execution_id else ""
        execution.progress.notify(f"{stage.name}: {holder} computes it, waiting{look}")

    rehearsal = execution.rehearsal
    with lease(
        execution.root,
        lease_key(stage.stage_id, rehearsal=rehearsal),
        execution_id=execution.segment.execution_id,
        on_wait=notify,
    ) as held:
        plan = execution.stages.values()
        done = done_stages(plan, root=execution.root, rehearsal=rehearsal)
        if stage.stage_id in done:
            execution.done[stage.stage_id] = done[stage.stage_id]
        else:
            _do(execution, stage, held)


def _do(execution: Execution, stage: Stage, held: Lease) -> None:
    """Fetch what a stage needs, run it, and record how it ended."""
    execution.record(_event(stage, "started"))
    first = len(execution.records)
    wall, cpu = time.monotonic(), time.process_time()
    try:
        for need in needs(stage, execution.stages):
            if need.fetchable and not need.present(execution.cache):
                need.fetch(execution.cache, offline=execution.offline, progress=execution.progress)
        from repro.engine.stages.table import STAGES

        facts = STAGES[stage.kind](execution, stage)
        _require_held(held, stage)
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


def _require_held(held: Lease, stage: Stage) -> None:
    """Let no stage end twice: another may have begun it anew while this machine slept.

    Raises:
        RunError: another has.
    """
    if not held.held():
        raise RunError(
            f"{stage.name}: overtaken: this execution gave no sign of life for {LEASE_S:.0f} s, so"
            " another computes the stage; run again to go on from what that one leaves"
        )


def _event(stage: Stage, event: Any, **more: Any) -> StageEvent:
    return StageEvent(
        stage_id=stage.stage_id, stage_kind=stage.kind, name=stage.name, event=event, **more
    )
