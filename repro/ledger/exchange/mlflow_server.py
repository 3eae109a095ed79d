"""Executions as runs of an MLflow server, over its REST interface, with the standard library alone.

A sealed execution of a run becomes one run of the experiment that is named after its study: the
spec as parameters, progress and measurements as metrics, ids, seal and commit as tags. What is at
the server is known by the tag `repro.execution_id`: a second export sends only what is new, and
goes on with what was cut off. A server keeps a metric's numbers once, so sending twice is safe.

The login is taken from MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD.
"""

import base64
import http.client
import json
import math
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from repro.errors import LedgerError, ResourceError
from repro.ledger.database import query
from repro.ledger.exchange.told import flat

_API = "/api/2.0/mlflow"
_TIMEOUT_S = 60.0
_MAX_METRICS, _MAX_PARAMS, _MAX_TAGS = 1000, 100, 100  # of one request
_MAX_KEY_CHARS, _MAX_PARAM_CHARS, _MAX_TAG_CHARS = 250, 6000, 8000
_STATUS = {"done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_EXECUTION, _WHOLE = "repro.execution_id", "repro.exported"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_SAID_BYTES = 300

_EXECUTIONS = """
SELECT
    execution_id, executions.run_id, executions.study, executions.title, executions.spec_path,
    outcome, merkle_root, starts.canonical_spec,
    epoch_ms(started_at) AS started_ms, epoch_ms(ended_at) AS ended_ms
FROM executions JOIN starts USING (execution_id)
WHERE executions.purpose = 'run' AND outcome <> 'open'
ORDER BY execution_id
"""
_METRICS = """
SELECT coalesce(stages.name, stage_id) || '/' || progress.name, "value", epoch_ms(recorded_at), step
FROM progress LEFT JOIN stages USING (execution_id, stage_id)
WHERE execution_id = $1
UNION ALL
SELECT
    evaluation || '/' || metric || suffix, number, epoch_ms(recorded_at),
    coalesce(checkpoint_step, 0)
FROM (
    SELECT *, unnest(['', '.se']) AS suffix, unnest(["value", se]) AS number FROM measurements
)
WHERE execution_id = $1 AND number IS NOT NULL
"""
_COMMIT = """
SELECT "value"->>'commit' FROM provenance WHERE execution_id = ? AND provider = 'git'
"""
_PROTOCOLS = """
SELECT evaluation, metric, num_samples, protocol_id, se_kind FROM measurements
WHERE execution_id = ? ORDER BY seq
"""


@frozen(kw_only=True)
class Sent:
    """What an export came to: executions sent now, those that were there, and numbers sent."""

    executions: int
    known: int
    numbers: int


@frozen(kw_only=True)
class _Execution:
    execution_id: str
    run_id: str
    study: str
    title: str
    spec_path: str
    outcome: str
    merkle_root: str
    canonical_spec: str | None = field(repr=False)
    started_ms: int
    ended_ms: int


def export_mlflow(
    root: Path,
    url: str,
    ids: Sequence[str] = (),
    *,
    notify: Callable[[str], None],
) -> Sent:
    """Send the sealed executions of every run, or of those whose ids begin so, oldest first.

    Raises:
        ResourceError: the server cannot be reached, or refuses.
        LedgerError: there is no ledger, or an id that nothing has.
    """
    server = _Server(url)
    executions = _chosen(root, ids)
    experiments = {study: server.experiment(study) for study in _studies(executions)}
    numbers = known = 0
    for execution in executions:
        experiment = experiments[execution.study or "repro"]
        run, whole = server.run(experiment, execution)
        if whole:
            known += 1
            continue
        sent = _send(root, execution, run, server)
        numbers += sent
        notify(f"{execution.execution_id}: {sent} numbers sent, as run {run}")
    return Sent(executions=len(executions) - known, known=known, numbers=numbers)


def _studies(executions: Sequence[_Execution]) -> list[str]:
    return sorted({each.study or "repro" for each in executions})


def _chosen(root: Path, ids: Sequence[str]) -> list[_Execution]:
    table = query(root, _EXECUTIONS)
    found = [_Execution(**dict(zip(table.columns, row, strict=True))) for row in table.rows]
    for id_ in ids:
        if not any(_is_named(each, id_) for each in found):
            raise LedgerError(f"{root}: no sealed execution of a run has an id that begins {id_!r}")
    return [each for each in found if not ids or any(_is_named(each, id_) for id_ in ids)]


def _is_named(execution: _Execution, beginning: str) -> bool:
    ids = (execution.execution_id, execution.run_id)
    return bool(beginning) and any(each.startswith(beginning) for each in ids)


def _send(root: Path, execution: _Execution, run: str, server: "_Server") -> int:
    """Everything about an execution, and last of all that this was everything."""
    metrics = [
        {"key": _key(key), "value": _value(value), "timestamp": time, "step": step}
        for key, value, time, step in query(root, _METRICS, [execution.execution_id]).rows
    ]
    for some in _batches(list(_params(execution)), _MAX_PARAMS):
        server.post("runs/log-batch", run_id=run, params=some)
    for some in _batches(list(_tags(root, execution)), _MAX_TAGS):
        server.post("runs/log-batch", run_id=run, tags=some)
    for some in _batches(metrics, _MAX_METRICS):
        server.post("runs/log-batch", run_id=run, metrics=some)
    server.post(
        "runs/update",
        run_id=run,
        status=_STATUS[execution.outcome],
        end_time=execution.ended_ms,
    )
    server.post("runs/set-tag", run_id=run, key=_WHOLE, value="whole")
    return len(metrics)


def _batches(found: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (found[begin : begin + size] for begin in range(0, len(found), size))


def _params(execution: _Execution) -> Iterator[dict[str, str]]:
    spec = json.loads(execution.canonical_spec or "{}")
    for name, value in flat(spec.get("spec", spec)):
        text = value if isinstance(value, str) else json.dumps(value)
        yield {"key": _key(name), "value": text[:_MAX_PARAM_CHARS]}


def _tags(root: Path, execution: _Execution) -> Iterator[dict[str, str]]:
    tags = {
        "repro.run_id": execution.run_id,
        "repro.seal": execution.merkle_root,
        "repro.outcome": execution.outcome,
        "repro.spec_path": execution.spec_path,
    }
    for (commit,) in query(root, _COMMIT, [execution.execution_id]).rows:
        tags["mlflow.source.git.commit"] = commit or ""
    table = query(root, _PROTOCOLS, [execution.execution_id])
    for evaluation, metric, *facts in table.rows:
        said = dict(zip(table.columns[2:], facts, strict=True))
        tags[f"repro.protocol.{evaluation}/{metric}"] = json.dumps(said)
    for key, value in tags.items():
        yield {"key": _key(key), "value": value[:_MAX_TAG_CHARS]}


def _key(name: str) -> str:
    """A name as MLflow allows it: a relative path of few kinds of characters."""
    parts = re.sub(r"[^\w.:/ -]", "_", name, flags=re.ASCII).split("/")
    kept = [part for part in parts if part not in ("", ".", "..")]
    return "/".join(kept)[:_MAX_KEY_CHARS] or "_"


def _value(value: float) -> float | str:
    """A number as JSON can say it, in the words of protocol buffers."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class _Server:
    """An MLflow server's REST interface."""

    def __init__(self, url: str) -> None:
        if not _is_address(url):
            raise ResourceError(
                "mlflow: expected the address of a server without a login, such as"
                " http://localhost:5000; the login goes into MLFLOW_TRACKING_TOKEN, or"
                " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json", **_authorization(os.environ)}

    def experiment(self, name: str) -> str:
        """The id of an experiment, made if there is none."""
        with self._in_words_of_mlflow("experiments"):
            return self._experiment(name)

    def run(self, experiment: str, execution: _Execution) -> tuple[str, bool]:
        """The run that stands for an execution, made if there is none; whether it is whole."""
        with self._in_words_of_mlflow("runs"):
            return self._run(experiment, execution)

    @contextmanager
    def _in_words_of_mlflow(self, path: str) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, AttributeError) as error:
            raise ResourceError(
                f"{self._url}: {path}: expected an MLflow server, found one that answers something"
                f" else: {error!r}"
            ) from error

    def _experiment(self, name: str) -> str:
        asked = urllib.parse.urlencode({"experiment_name": name})
        found = self._ask(f"experiments/get-by-name?{asked}", None, absent_is_none=True)
        if found is None:
            return str(self.post("experiments/create", name=name)["experiment_id"])
        return str(found["experiment"]["experiment_id"])

    def _run(self, experiment: str, execution: _Execution) -> tuple[str, bool]:
        found = self.post(
            "runs/search",
            experiment_ids=[experiment],
            filter=f"tags.`{_EXECUTION}` = '{execution.execution_id}'",
            max_results=1,
        )
        for run in found.get("runs", []):
            tags = {each["key"] for each in run["data"].get("tags", [])}
            return str(run["info"]["run_id"]), _WHOLE in tags
        made = self.post(
            "runs/create",
            experiment_id=experiment,
            run_name=execution.title or execution.execution_id,
            start_time=execution.started_ms,
            tags=[{"key": _EXECUTION, "value": execution.execution_id}],
        )
        return str(made["run"]["info"]["run_id"]), False

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """The answer to a request with a body.

        Raises:
            ResourceError: the server cannot be reached, or refuses.
        """
        return self._ask(path, body) or {}

    def _ask(
        self, path: str, body: Mapping[str, Any] | None, *, absent_is_none: bool = False
    ) -> dict[str, Any] | None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self._url}{_API}/{path}", data=data, headers=self._headers
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                said = " ".join(error.read(_SAID_BYTES).decode(errors="replace").split())
            if absent_is_none and _ABSENT in said:
                return None
            raise ResourceError(f"{self._url}: {path}: refused ({error.code}): {said}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ResourceError(f"{self._url}: no MLflow server answers there: {error}") from error


def _is_address(url: str) -> bool:
    """Whether it is one of a server, and holds no login."""
    try:
        parts = urllib.parse.urlsplit(url)
        return bool(
            parts.scheme in ("http", "https")
            and parts.hostname
            and parts.port != 0
            and not parts.username
            and not re.search(r"\s", url)
        )
    except ValueError:  # no number for a port, or half an IPv6 address
        return False


def _authorization(environment: Mapping[str, str]) -> dict[str, str]:
    token = environment.get("MLFLOW_TRACKING_TOKEN")
    if token:
        return {"Authorization": f"Bearer {token}"}
    user = environment.get("MLFLOW_TRACKING_USERNAME")
    if not user:
        return {}
    login = f"{user}:{environment.get('MLFLOW_TRACKING_PASSWORD', '')}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
