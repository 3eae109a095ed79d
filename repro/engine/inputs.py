"""What the stages of an execution read and no stage made: data, reference statistics, weights."""

from collections.abc import Iterator

from repro.engine.execution import Execution
from repro.ledger.history import DoneStage
from repro.ledger.records import Provenance
from repro.spec import Stage
from repro.spec.encoder import LibraryEncoder

READING = ("prepare", "encode", "reference", "evaluate", "probe")
"""The kinds of stage that read something from outside; an encoder may, too."""


def inputs(execution: Execution) -> Provenance:
    """The digest of each input, by what it is; what was not reached is told as missing."""
    reading = [
        stage
        for stage in execution.stages.values()
        if stage.kind in READING or isinstance(stage.spec, LibraryEncoder)
    ]
    done = [(stage, execution.done.get(stage.stage_id)) for stage in reading]
    missing = [f"{stage.kind} {stage.name} was not reached" for stage, left in done if not left]
    found = {name: digest for stage, left in done if left for name, digest in _read(stage, left)}
    return Provenance(
        provider="inputs",
        status="partial" if missing else "ok",
        value=found,
        reason="; ".join(missing),
    )


def _read(stage: Stage, left: DoneStage) -> Iterator[tuple[str, str]]:
    """What a finished stage says that it read."""
    match stage.kind:
        case "prepare":
            yield f"data {stage.name}", str(left.event.facts["digest"])
        case "encode":
            if weights := getattr(stage.spec.autoencoder, "weights", None):
                yield f"autoencoder {stage.name}", weights
        case "encoder":
            yield f"encoder {stage.name}", str(left.event.facts["digest"])
        case "reference":
            yield f"reference {stage.name}", str(left.event.facts["digest"])
        case _:
            for each in left.measurements:
                if extractor := each.facts.get("extractor"):
                    yield f"extractor {extractor.get('name')}", str(extractor.get("weights_digest"))
