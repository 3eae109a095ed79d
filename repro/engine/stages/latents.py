"""Reading the latents that an encode stage left."""

from repro.engine.datasets import EncodedImages
from repro.engine.execution import Execution
from repro.engine.latents.shards import open_shards
from repro.ledger import store
from repro.spec import Stage

SHARDS, MANIFEST = "latents", "manifest"
"""The roles of the files of an encode stage."""


def load_latents(execution: Execution, stage: Stage) -> EncodedImages:
    """What a finished encode stage left, every shard held to its digest once an execution."""
    if stage.stage_id not in execution.datasets:
        shards = [each for each in execution.done[stage.stage_id].artifacts if each.role == SHARDS]
        with execution.progress.track(f"verify {stage.name}", len(shards)) as advance:
            paths = []
            for each in sorted(shards, key=lambda shard: shard.name):
                paths.append(store.check(execution.root, each.sha256))
                advance(1)
        manifest = execution.path_of(stage, MANIFEST)
        execution.datasets[stage.stage_id] = open_shards(manifest, paths)
    data: EncodedImages = execution.datasets[stage.stage_id]
    return data
