"""What an execution may say: one frozen class per kind of record.

A record becomes the `data` of one line of a segment and comes back equal. Times, sequence numbers
and digests are added by the segment; a record holds only what happened.
"""

import json
import math
from collections.abc import Mapping, Sequence
from operator import index
from typing import Any, ClassVar, Literal

from attrs import field, fields, frozen

from repro import digest

FORMAT = 2
"""Of a segment's lines; raised when a reader of the version before would misunderstand them."""

FORMATS = (1, FORMAT)
"""Those that this version reads. In 1, a record of progress was one moment."""

Outcome = Literal["done", "failed", "interrupted"]
Facts = Mapping[str, Any]


def _number(value: Any) -> float:
    return float(value)  # also "nan", "inf" and "-inf", which JSON cannot say


def _number_or_none(value: Any) -> float | None:
    return None if value is None else float(value)


def _counts(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(map(index, values))


def _curves(values: Mapping[str, Sequence[Any]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(map(float, curve)) for name, curve in values.items()}


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(each) for each in values)


def _steps(values: Sequence[int | None]) -> tuple[int | None, ...]:
    return tuple(values)


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(values)


def _tables(values: Sequence[Facts]) -> tuple[Facts, ...]:
    return tuple(dict(each) for each in values)


@frozen(kw_only=True)
class Start:
    """The first record: what is attempted, by which process.

    `canonical_spec` is the text that `run_id` is the digest of. `stages` is the plan: mappings of
    `stage_id`, `kind`, `name`, `inputs`. The last fields are filled in when the segment begins.
    """

    kind: ClassVar = "start"

    purpose: Literal["run", "rehearsal", "report", "rerun", "gc", "import"]
    run_id: str | None = None
    study: str = ""
    title: str = ""
    spec_path: str = ""
    canonical_spec: str | None = None
    command: tuple[str, ...] = field(default=(), converter=_texts)
    stages: tuple[Facts, ...] = field(default=(), converter=_tables)
    execution_id: str = ""
    format: int = FORMAT
    host: str = ""
    pid: int = 0
    boot_id: str = ""
    process_start: int = 0
    pid_namespace: str = ""


@frozen(kw_only=True)
class Provenance:
    """What one provider knows about code, machine or environment, or why it does not."""

    kind: ClassVar = "provenance"

    provider: str
    status: Literal["ok", "partial", "unavailable"]
    value: Facts = field(factory=dict)
    reason: str = ""


@frozen(kw_only=True)
class StageEvent:
    """A stage started, ended, or was found done by an earlier execution."""

    kind: ClassVar = "stage"

    stage_id: str
    stage_kind: str
    name: str
    event: Literal["started", "done", "reused", "failed"]
    elapsed_s: float | None = field(default=None, converter=_number_or_none)
    cpu_s: float | None = field(default=None, converter=_number_or_none)
    facts: Facts = field(factory=dict)


@frozen(kw_only=True)
class Artifact:
    """A file that the execution left in the object store."""

    kind: ClassVar = "artifact"

    stage_id: str | None = None
    role: str
    name: str
    sha256: str
    xxh3_128: str
    size_bytes: int
    media_type: str = "application/octet-stream"
    facts: Facts = field(factory=dict)


@frozen(kw_only=True)
class Checkpoint:
    """Weights after `step` updates, and the state to go on from there, if it is kept."""

    kind: ClassVar = "checkpoint"

    stage_id: str
    step: int
    weights: str
    state: str | None = None


@frozen(kw_only=True)
class Progress:
    """Numbers of some moments of a stage: of each name one number a step, in the same order."""

    kind: ClassVar = "progress"

    stage_id: str
    steps: tuple[int, ...] = field(converter=_counts)
    values: Mapping[str, tuple[float, ...]] = field(converter=_curves)

    @values.validator
    def _check_lengths(self, _: Any, values: Mapping[str, tuple[float, ...]]) -> None:
        expected = len(self.steps)
        if not {expected}.issuperset(map(len, values.values())):
            found = {name: len(curve) for name, curve in values.items() if len(curve) != expected}
            msg = f"expected {expected} numbers of each name, one a step, found {found}"
            raise ValueError(msg)


@frozen(kw_only=True)
class Calibration:
    """An instrument was held against a case whose answer is known."""

    kind: ClassVar = "calibration"

    stage_id: str
    subject: Facts
    facts: Facts
    passed: bool
    allow_biased: bool = False


@frozen(kw_only=True)
class Protocol:
    """Everything that makes two numbers comparable."""

    kind: ClassVar = "protocol"

    protocol_id: str
    facts: Facts


@frozen(kw_only=True)
class Measurement:
    """One number, with its error, its protocol and the digests that it rests on."""

    kind: ClassVar = "measurement"

    stage_id: str
    evaluation: str
    checkpoint_step: int | None = None
    metric: str
    value: float | None = field(converter=_number_or_none)
    se: float | None = field(default=None, converter=_number_or_none)
    se_kind: str = ""
    unit: str = ""
    num_samples: int
    protocol_id: str
    samples: str
    features: str | None = None
    influence: str | None = None
    reference: str | None = None
    pairing: str = ""
    facts: Facts = field(factory=dict)


@frozen(kw_only=True)
class Decision:
    """A choice that later numbers depend on: a selection, a deviation."""

    kind: ClassVar = "decision"

    topic: str
    stage_id: str | None = None
    facts: Facts = field(factory=dict)


@frozen(kw_only=True)
class Claim:
    """A sentence with a condition on measurements, dated by this record."""

    kind: ClassVar = "claim"

    study: str
    name: str
    text: str
    condition: Facts
    claim_digest: str


@frozen(kw_only=True)
class Verdict:
    """What the evidence said about a claim when it was asked."""

    kind: ClassVar = "verdict"

    study: str
    name: str
    claim_digest: str
    verdict: str
    admitted: tuple[Facts, ...] = field(default=(), converter=_tables)
    refused: tuple[Facts, ...] = field(default=(), converter=_tables)
    facts: Facts = field(factory=dict)


@frozen(kw_only=True)
class Tombstone:
    """An artifact was removed from the store, on purpose, and what is still known of it.

    `facts` holds its roles and names, and the executions that named it.
    """

    kind: ClassVar = "tombstone"

    sha256: str
    size_bytes: int
    reason: str
    facts: Facts = field(factory=dict)


@frozen(kw_only=True)
class Imported:
    """A curve or a number that something else recorded; never evidence.

    `steps` and `values` run side by side; a step is none where the source has none. `source` names
    the program or the paper, `run` is the name there.
    """

    kind: ClassVar = "imported"

    source: str
    study: str
    run: str
    metric: str
    steps: tuple[int | None, ...] = field(converter=_steps)
    values: tuple[float, ...] = field(converter=_floats)
    num_samples: int | None = None
    facts: Facts = field(factory=dict)


@frozen(kw_only=True)
class Seal:
    """The last record: how it ended, and the Merkle root of every line before."""

    kind: ClassVar = "seal"

    outcome: Outcome
    error: str = ""
    num_records: int
    merkle_root: str


Record = (
    Start
    | Provenance
    | StageEvent
    | Artifact
    | Checkpoint
    | Progress
    | Calibration
    | Protocol
    | Measurement
    | Decision
    | Claim
    | Verdict
    | Tombstone
    | Imported
    | Seal
)

KINDS: Mapping[str, type[Record]] = {
    each.kind: each
    for each in (
        Start,
        Provenance,
        StageEvent,
        Artifact,
        Checkpoint,
        Progress,
        Calibration,
        Protocol,
        Measurement,
        Decision,
        Claim,
        Verdict,
        Tombstone,
        Imported,
        Seal,
    )
}

_INTEGERS, _NUMBERS = {int}, {int, float}
_NAMES = {kind: {each.name for each in fields(class_)} for kind, class_ in KINDS.items()}


def encode(record: Record) -> bytes:
    """The canonical JSON of a record's fields.

    NaN becomes "nan", as infinities become "inf"; bytes of a file name or an argument that are no
    text become escapes, because half a surrogate pair is no JSON for most readers.
    """
    data = {each.name: getattr(record, each.name) for each in fields(type(record))}
    if isinstance(record, Progress) and (encoded := _encoded_if_plain(data)):
        return encoded
    return digest.canonical(_sayable(data))


def decode(kind: str, data: Mapping[str, Any]) -> Record | None:
    """The record that `data` says; none for a kind that only a newer version knows.

    Raises:
        ValueError: a field is missing or has no possible value.
    """
    if kind not in KINDS:
        return None
    if kind == Progress.kind and "step" in data:
        data = as_curves(data)
    known = _NAMES[kind]
    if not data.keys() <= known:
        data = {name: item for name, item in data.items() if name in known}
    try:
        return KINDS[kind](**data)
    except (TypeError, ValueError, AttributeError) as error:
        msg = f"not a {kind} record: {error}"
        raise ValueError(msg) from error


def is_plain_progress(data: Facts) -> bool:
    """Whether this is surely a `Progress`, told faster than by making one.

    False also where only `decode` can tell.
    """
    if data.keys() != _NAMES[Progress.kind]:
        return False
    steps, values = data["steps"], data["values"]
    if type(steps) is not list or type(values) is not dict:
        return False
    for curve in values.values():
        if type(curve) is not list or len(curve) != len(steps):
            return False
        if not _NUMBERS.issuperset(map(type, curve)):
            return False
    return _INTEGERS.issuperset(map(type, steps))


def as_curves(data: Facts) -> Facts:
    """One moment, as progress is in format 1, in the fields that progress has now."""
    values = data.get("values")
    if isinstance(values, Mapping):
        values = {name: [each] for name, each in values.items()}
    return {**data, "steps": [data["step"]], "values": values}


def _encoded_if_plain(data: Facts) -> bytes | None:
    """What `encode` gives, far faster, for plain names and numbers; none for others."""
    try:
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return None
    unlike = ("\\u", "-0.0,", "-0.0]")  # half a surrogate pair, perhaps; a zero with a sign
    return None if any(each in text for each in unlike) else text.encode()


def _sayable(value: Any) -> Any:
    match value:
        case float():
            return "nan" if math.isnan(value) else value
        case str() if not value.isascii():
            return value.encode("utf-8", "backslashreplace").decode()
        case Mapping():
            return {_sayable(key): _sayable(item) for key, item in value.items()}
        case list() | tuple():
            return [_sayable(item) for item in value]
        case _:
            return value
