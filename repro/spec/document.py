"""The root of a spec: one TOML file, resolved."""

from typing import Any

from attrs import Attribute, field, frozen, resolve_types

from repro.spec.autoencoder import TrainedAutoencoderKl
from repro.spec.data import Dataset
from repro.spec.encoder import Encoder, PretrainedEncoder
from repro.spec.evaluate import Evaluate, Protocol, Reference, Select
from repro.spec.fields import added, note
from repro.spec.init import Init
from repro.spec.network import Network
from repro.spec.objective import Objective
from repro.spec.probe import Probe
from repro.spec.train import Train

SCHEMA = 1
OUTSIDE_SPEC = ("extends", "sweep")
"""Top-level keys of a file that are resolved before the data become a spec."""


def _known_schema(_: Any, __: "Attribute[Any]", value: int) -> None:
    if value != SCHEMA:
        msg = f"expected {SCHEMA}, the schema of this version, got {value!r}"
        raise ValueError(msg)


@frozen(kw_only=True)
class Spec:
    """What to do; nothing about where, on what machine, or how often to report.

    A spec trains (`data`, `network`, `objective`, `train` together), evaluates (`protocol` and
    `evaluate`), probes what it trained (`probe`), or only makes reference statistics (`reference`).
    """

    schema: int = field(validator=_known_schema)
    title: str = note("")
    notes: str = note("")
    data: Dataset | None = None
    network: Network | None = None
    encoder: Encoder | None = None
    objective: Objective | None = None
    train: Train | None = None
    protocol: Protocol | None = None
    evaluate: tuple[Evaluate, ...] = ()
    select: Select | None = None
    reference: Reference | None = None
    probe: tuple[Probe, ...] = added(())
    init: Init | None = added(None)


resolve_types(PretrainedEncoder, {"Spec": Spec})
resolve_types(TrainedAutoencoderKl, {"Spec": Spec})
resolve_types(Init, {"Spec": Spec})
