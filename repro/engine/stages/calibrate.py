"""Holding a sampler against an exact Gaussian before it may sample."""

from collections.abc import Mapping
from typing import Any

from attrs import asdict, evolve

from repro.engine.calibrate import CalibrationResult, refuse_biased
from repro.engine.calibrate import calibrate as calibrate_sampler
from repro.engine.calibrate_heun import calibrate_heun, refuse_biased_heun
from repro.engine.calibrate_own import calibrate_own, refuse_biased_own
from repro.engine.execution import Execution
from repro.engine.stages.heatmap import settled
from repro.ledger.records import Calibration
from repro.spec import Stage
from repro.spec.plan import Instrument, OwnInstrument, ScalesInstrument


def calibrate(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Record what the sampler does to N(0.3, 0.5^2); stop if it is biased and not allowed to be.

    Raises:
        RunError: see `refuse_biased`; the finding is on record all the same.
    """
    part: Instrument | ScalesInstrument | OwnInstrument = stage.spec
    if isinstance(part, ScalesInstrument):
        part = evolve(part, sampler=settled(execution, stage, part.sampler))
    result = _calibrated(part)
    facts = asdict(result)
    execution.record(
        Calibration(
            stage_id=stage.stage_id,
            subject=dict(stage.payload),
            facts=facts,
            passed=result.passed,
            allow_biased=part.sampler.allow_biased,
        )
    )
    match part:
        case ScalesInstrument(sampler=sampler):
            refuse_biased_heun(result, sampler)
        case OwnInstrument(sampler=sampler):
            refuse_biased_own(result, sampler)
        case Instrument(sampler=sampler, schedule=schedule):
            refuse_biased(result, sampler, schedule)
    return {"passed": result.passed, "allow_biased": part.sampler.allow_biased}


def _calibrated(part: Instrument | ScalesInstrument | OwnInstrument) -> CalibrationResult:
    match part:
        case OwnInstrument(sampler=sampler, objective=objective):
            return calibrate_own(sampler, objective)
        case ScalesInstrument(sampler=sampler, num_scales=num_scales):
            return calibrate_heun(sampler, num_scales=num_scales)
        case Instrument(sampler=sampler, schedule=schedule):
            return calibrate_sampler(sampler, schedule)
