"""The tables of the database: one per kind of record, its columns the record's fields.

Every table begins with `execution_id`, `seq` and `recorded_at`. Tables are only appended to, and
have no index and no constraint; whatever joins or counts is a view. `ledger/README.md` says what
each column means and in which unit.
"""

import json
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from attrs import fields

from repro.ledger import records

VERSION = 3
"""Raised with every change of a table or view; an older database is rebuilt, a newer refused."""

TABLES: Mapping[str, str] = {
    "start": "starts",
    "provenance": "provenance",
    "stage": "stage_events",
    "artifact": "artifacts",
    "checkpoint": "checkpoints",
    "progress": "progress",
    "calibration": "calibrations",
    "protocol": "protocols",
    "measurement": "measurements",
    "decision": "decisions",
    "claim": "claims",
    "verdict": "verdicts",
    "tombstone": "tombstones",
    "imported": "imported",
    "seal": "seals",
}

_ENVELOPE = {"execution_id": "VARCHAR", "seq": "BIGINT", "recorded_at": "TIMESTAMP"}
_SQL_TYPES: Mapping[Any, str] = {
    str: "VARCHAR",
    int: "BIGINT",
    float: "DOUBLE",
    bool: "BOOLEAN",
}

_FOLDS = """
CREATE TABLE schema_version (version BIGINT);
CREATE TABLE folds (
    execution_id VARCHAR, num_records BIGINT, size_bytes BIGINT, hash VARCHAR, sealed BOOLEAN
);
"""

_VIEWS = """
CREATE VIEW segments AS
SELECT
    execution_id,
    max(num_records) AS num_records,
    max(size_bytes) AS size_bytes,
    arg_max(hash, num_records) AS hash,
    bool_or(sealed) AS sealed
FROM folds
GROUP BY execution_id;

CREATE VIEW executions AS
SELECT
    starts.execution_id,
    starts.run_id,
    starts.purpose,
    starts.study,
    starts.title,
    starts.spec_path,
    starts.command,
    starts.host,
    starts.pid,
    starts.recorded_at AS started_at,
    seals.recorded_at AS ended_at,
    epoch(seals.recorded_at - starts.recorded_at) AS elapsed_s,
    coalesce(seals.outcome, 'open') AS outcome,
    seals.error,
    seals.num_records,
    seals.merkle_root,
    if(
        seals.outcome IS NULL AND starts.run_id IS NOT NULL,
        lead(starts.execution_id) OVER (
            PARTITION BY starts.run_id, starts.purpose ORDER BY starts.execution_id
        ),
        NULL
    ) AS superseded_by
FROM starts
LEFT JOIN seals USING (execution_id);

CREATE VIEW runs AS
SELECT
    run_id,
    purpose,
    arg_min(study, started_at) AS study,
    arg_min(title, started_at) AS title,
    count(*) AS num_executions,
    count(*) FILTER (outcome = 'done') AS num_done,
    count(*) FILTER (outcome = 'failed') AS num_failed,
    count(*) FILTER (outcome = 'interrupted') AS num_interrupted,
    count(*) FILTER (outcome = 'open') AS num_open,
    count(superseded_by) AS num_superseded,
    min(started_at) AS first_started_at,
    max(ended_at) AS last_ended_at,
    any_value(canonical_spec) AS canonical_spec
FROM executions
JOIN (SELECT execution_id, canonical_spec FROM starts) USING (execution_id)
WHERE run_id IS NOT NULL
GROUP BY run_id, purpose;

CREATE VIEW stages AS
WITH
planned AS (
    SELECT execution_id, unnest(from_json(stages,
        '[{"stage_id":"VARCHAR","kind":"VARCHAR","name":"VARCHAR","inputs":"JSON"}]')) AS stage
    FROM starts
),
last AS (
    SELECT
        execution_id,
        stage_id,
        arg_max(event, seq) AS event,
        arg_max(facts->>'execution_id', seq) AS reused_from,
        arg_max(elapsed_s, seq) AS elapsed_s,
        arg_max(cpu_s, seq) AS cpu_s
    FROM stage_events
    GROUP BY execution_id, stage_id
)
SELECT
    planned.execution_id,
    stage.stage_id AS stage_id,
    stage.kind AS stage_kind,
    stage.name AS name,
    stage.inputs AS inputs,
    coalesce(last.event, 'planned') AS event,
    CASE last.event
        WHEN 'done' THEN planned.execution_id
        WHEN 'reused' THEN last.reused_from
    END AS done_by,
    last.elapsed_s,
    last.cpu_s
FROM planned
LEFT JOIN last ON last.execution_id = planned.execution_id AND last.stage_id = stage.stage_id;

CREATE VIEW results AS
SELECT
    executions.study,
    executions.run_id,
    executions.title,
    executions.purpose,
    executions.execution_id,
    executions.outcome,
    stages.name AS evaluation,
    stages.stage_id,
    stages.done_by AS measured_by,
    stages.event = 'reused' AS reused,
    measurements.recorded_at,
    measurements.checkpoint_step,
    measurements.metric,
    measurements.value,
    measurements.se,
    measurements.se_kind,
    measurements.unit,
    measurements.num_samples,
    measurements.protocol_id,
    measurements.samples
FROM stages
JOIN executions USING (execution_id)
JOIN measurements
    ON measurements.execution_id = stages.done_by AND measurements.stage_id = stages.stage_id
QUALIFY row_number() OVER (
    PARTITION BY executions.run_id, executions.purpose, stages.name, measurements.metric
    ORDER BY executions.execution_id DESC, measurements.seq DESC
) = 1;

CREATE VIEW denominator AS
SELECT
    study,
    purpose,
    count(DISTINCT run_id) AS num_runs,
    count(DISTINCT run_id) FILTER (outcome = 'done') AS num_runs_done,
    count(*) AS num_executions,
    count(*) FILTER (outcome = 'done') AS num_done,
    count(*) FILTER (outcome = 'failed') AS num_failed,
    count(*) FILTER (outcome = 'interrupted') AS num_interrupted,
    count(*) FILTER (outcome = 'open') AS num_open,
    count(superseded_by) AS num_superseded
FROM executions
GROUP BY study, purpose;
"""


# One row a number: of each name a list, beside the list of steps.
_PROGRESS = """
INSERT INTO progress
SELECT execution_id, seq, time, stage_id, unnest(steps), name, unnest(curve)
FROM (
    SELECT
        line.execution_id,
        line.seq,
        line.time,
        line.data.stage_id,
        line.data.steps,
        unnest(map_keys(line.data."values")) AS name,
        unnest(map_values(line.data."values")) AS curve
    FROM (
        SELECT TRY(from_json(text, $2)) AS line
        FROM (SELECT unnest(string_split($1, chr(10))) AS text)
    )
)
"""


def statements() -> str:
    """Everything that makes an empty database a ledger."""
    tables = "".join(
        f"CREATE TABLE {table} ({_declarations(columns(kind))});\n"
        for kind, table in TABLES.items()
    )
    return f"{_FOLDS}{tables}{_VIEWS}INSERT INTO schema_version VALUES ({VERSION});"


def columns(kind: str) -> dict[str, str]:
    """The columns of a kind's table, with their SQL types."""
    if kind == "progress":
        fields_ = {"stage_id": "VARCHAR", "step": "BIGINT", "name": "VARCHAR", "value": "DOUBLE"}
        return _ENVELOPE | fields_
    if kind == "imported":
        single = {"steps": ("step", "BIGINT"), "values": ("value", "DOUBLE")}
        types = _field_types(kind)
        return _ENVELOPE | dict(single.get(name, (name, types[name])) for name in types)
    return _ENVELOPE | _field_types(kind)


def insertion(kind: str) -> tuple[str, str]:
    """A statement that adds many lines, and its second parameter, the shape of a line.

    The first parameter is lines with `execution_id` put in, joined by newlines. A value that does
    not fit its column becomes NULL: `verify` names it, and one bad line does not stop a fold.
    """
    shape = {"execution_id": "VARCHAR", "seq": "BIGINT", "time": "TIMESTAMP"}
    if kind == "progress":
        data = {
            "stage_id": "VARCHAR",
            "steps": "BIGINT[]",
            "values": "MAP(VARCHAR, DOUBLE[])",
        }
        return _PROGRESS, json.dumps(shape | {"data": data})
    if kind == "imported":
        lists = {"steps": "BIGINT[]", "values": "DOUBLE[]"}
        data = _field_types(kind) | lists
        picked = ", ".join(
            f'unnest(line.data."{name}")' if name in lists else f'line.data."{name}"'
            for name in data
        )
    else:
        data = {name: type_ for name, type_ in _field_types(kind).items() if name not in shape}
        picked = ", ".join(f'line.data."{name}"' for name in data)
    statement = (
        f"INSERT INTO {TABLES[kind]} SELECT line.execution_id, line.seq, line.time, {picked}"
        " FROM (SELECT TRY(from_json(text, $2)) AS line"
        " FROM (SELECT unnest(string_split($1, chr(10))) AS text))"
        " WHERE line IS NOT NULL"
    )
    return statement, json.dumps(shape | {"data": data})


def _field_types(kind: str) -> dict[str, str]:
    class_ = records.KINDS[kind]
    hints = get_type_hints(class_)
    return {
        each.name: _sql_type(hints[each.name])
        for each in fields(class_)
        if each.name not in _ENVELOPE
    }


def _sql_type(hint: Any) -> str:
    if isinstance(hint, UnionType):
        hint = next(each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is Literal:
        return "VARCHAR"
    return _SQL_TYPES.get(hint, "JSON")


def _declarations(of: Mapping[str, str]) -> str:
    return ", ".join(f'"{name}" {type_}' for name, type_ in of.items())
