"""What to do: a frozen value read from one TOML file, its name, and the stages it resolves to."""

from repro.spec.document import Spec
from repro.spec.identity import canonical_spec, run_id, spec_of
from repro.spec.load import load
from repro.spec.plan import Stage, stages
from repro.spec.rehearse import rehearsal
from repro.spec.structure import dump, structure
from repro.spec.train import checkpoint_steps

__all__ = [
    "Spec",
    "Stage",
    "canonical_spec",
    "checkpoint_steps",
    "dump",
    "load",
    "rehearsal",
    "run_id",
    "spec_of",
    "stages",
    "structure",
]
