"""Executions as runs of an MLflow server: all of them, whole, once."""

import math
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from repro.errors import LedgerError, ResourceError
from repro.ledger import segment
from repro.ledger.exchange import export_mlflow
from repro.ledger.records import Provenance
from tests.ledger.exchange.fake_mlflow import serving
from tests.ledger.exchange.sources import ignore
from tests.ledger.ledgers import TRAIN, execute, measurement, start


@pytest.fixture
def server():
    with serving() as fake:
        yield fake


def send(root, server, *ids):
    return export_mlflow(root, server.url, ids, notify=ignore)


def metrics(run, key):
    return sorted((step, value) for name, value, _, step in run["metrics"] if name == key)


def test_an_execution_becomes_a_run(tmp_path, server):
    """In the experiment of its study, with the spec, the curve, the measurement and the seal."""
    execution_id = execute(tmp_path)

    sent = send(tmp_path, server)

    (run,) = server.runs.values()
    assert (sent.executions, sent.known, sent.numbers) == (1, 0, 7)
    assert server.experiments == {"toy": run["experiment_id"]}
    assert (run["run_name"], run["status"], run["params"]) == ("one", "FINISHED", {"title": "one"})
    assert metrics(run, "train/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert metrics(run, "last/fid") == [(0, 12.5)]
    assert run["tags"]["repro.execution_id"] == execution_id
    assert run["tags"]["repro.seal"].startswith("sha256:")
    assert run["tags"]["repro.protocol.last/fid"] == (
        f'{{"num_samples": 2049, "protocol_id": "{"p" * 32}", "se_kind": ""}}'
    )


def test_a_second_export_sends_nothing(tmp_path, server):
    """What is there is known by its tag."""
    execute(tmp_path)
    send(tmp_path, server)

    sent = send(tmp_path, server)

    assert (sent.executions, sent.known, sent.numbers) == (0, 1, 0)
    assert len(server.runs) == 1


@pytest.mark.parametrize("after", range(1, 9))
def test_an_export_that_was_cut_off_goes_on(after, tmp_path, server):
    """Wherever it was cut, the next one makes it whole, as one run, each number once."""
    execute(tmp_path)
    server.fails_at = after
    with pytest.raises(ResourceError, match=r"refused \(503\)"):
        send(tmp_path, server)
    server.fails_at = 10**9

    sent = send(tmp_path, server)

    (run,) = server.runs.values()
    assert sent.executions == 1
    assert (run["status"], run["tags"]["repro.exported"], len(run["metrics"])) == (
        "FINISHED", "whole", 7,
    )  # fmt: skip


def test_no_request_is_larger_than_the_server_takes(tmp_path, server):
    """Thousands of numbers and hundreds of parameters go in many requests."""
    spec = ",".join(f'"a{index}":{index}' for index in range(250))
    with segment.begin(
        tmp_path, evolve(start("large"), canonical_spec=f'{{"schema":1,"spec":{{{spec}}}}}')
    ) as execution:
        for step in range(2500):
            execution.log(TRAIN, step, {"loss": 1.0})

    sent = send(tmp_path, server)

    (run,) = server.runs.values()
    assert (sent.numbers, len(run["metrics"]), len(run["params"])) == (2500, 2500, 250)
    assert server.requests.count("runs/log-batch") == 3 + 1 + 3


def test_numbers_and_names_that_need_other_words(tmp_path, server):
    """NaN and infinity have no JSON; a name may hold few characters, and no empty part."""
    with segment.begin(tmp_path, start()) as execution:
        for step, value in enumerate((math.nan, math.inf, -math.inf)):
            execution.log(TRAIN, step, {"energy τ=1//../x": value})

    send(tmp_path, server)

    (run,) = server.runs.values()
    assert metrics(run, "train/energy __1/x") == [(0, "NaN"), (1, "Infinity"), (2, "-Infinity")]


def test_an_error_is_a_metric_too(tmp_path, server):
    """Beside the value that it belongs to, at the step of the checkpoint."""
    with segment.begin(tmp_path, start()) as execution:
        execution.append(measurement(12.5, se=0.5, checkpoint_step=400))

    send(tmp_path, server)

    (run,) = server.runs.values()
    assert metrics(run, "last/fid.se") == [(400, 0.5)]


def test_the_commit_is_a_tag(tmp_path, server):
    """Under the name that MLflow shows."""
    with segment.begin(tmp_path, start()) as execution:
        execution.append(Provenance(provider="git", status="ok", value={"commit": "c" * 40}))

    send(tmp_path, server)

    (run,) = server.runs.values()
    assert run["tags"]["mlflow.source.git.commit"] == "c" * 40


@pytest.mark.parametrize(("outcome", "status"), [("failed", "FAILED"), ("interrupted", "KILLED")])
def test_what_ended_badly_is_sent_too(outcome, status, tmp_path, server):
    """A tracker that shows successes alone misleads."""
    segment.begin(tmp_path, start()).seal(outcome)

    send(tmp_path, server)

    assert [run["status"] for run in server.runs.values()] == [status]


def test_what_is_no_sealed_run_stays(tmp_path, server):
    """Rehearsals, reports, and what may still be running."""
    execute(tmp_path)
    segment.begin(tmp_path, start("small", purpose="rehearsal")).seal("done")
    open_ = segment.begin(tmp_path, start("open"))

    sent = send(tmp_path, server)

    assert sent.executions == 1
    open_.seal("done")


def test_only_what_is_named(tmp_path, server):
    """A run by a beginning of its id."""
    execute(tmp_path, "one")
    execute(tmp_path, "two")

    sent = send(tmp_path, server, str(start("two").run_id)[:8])

    assert sent.executions == 1
    assert [run["run_name"] for run in server.runs.values()] == ["two"]


@pytest.mark.parametrize("id_", ["zzz", ""])
def test_an_id_that_nothing_has(id_, tmp_path, server):
    """Nothing is sent then."""
    execute(tmp_path)

    with pytest.raises(LedgerError, match="no sealed execution of a run has an id that begins"):
        send(tmp_path, server, "2", id_)

    assert not server.runs


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:5000", "ftp://host", "http://", "http://user:s3cret@host:5000"),
        *("http://[::1", "http://localhost:abc", "http://a b/"),
    ],
)
def test_an_address_that_is_none(url, tmp_path):
    """The message says what one looks like, and repeats no password."""
    with pytest.raises(ResourceError, match="such as http://localhost:5000") as caught:
        export_mlflow(tmp_path, url, notify=ignore)

    assert "s3cret" not in str(caught.value)


def test_a_server_that_is_not_there(tmp_path, server):
    """The message names the address."""
    execute(tmp_path)

    with pytest.raises(ResourceError, match=r"http://127\.0\.0\.1:1: no MLflow server answers"):
        export_mlflow(tmp_path, "http://127.0.0.1:1", notify=ignore)


@pytest.mark.parametrize("answer", [{}, {"experiment": 1}, {"experiment": None}])
def test_a_server_that_is_another(answer, tmp_path, server):
    """Whatever else answers there is named as such."""
    execute(tmp_path)
    server.experiments_get_by_name = lambda _: (200, answer)

    with pytest.raises(ResourceError, match="expected an MLflow server"):
        send(tmp_path, server)


def test_a_server_that_does_not_speak_http(tmp_path):
    """A database or a mail server may listen there."""
    execute(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        pool.submit(_greet, listening)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        with pytest.raises(ResourceError, match="no MLflow server answers there"):
            export_mlflow(tmp_path, url, notify=ignore)


def _greet(listening):
    with listening.accept()[0] as caller:
        caller.recv(65536)
        caller.sendall(b"220 mail\r\n\r\n")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MLFLOW_TRACKING_TOKEN": "t"}, "Bearer t"),
        ({"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}, "Basic dTpw"),
        ({}, None),
    ],
    ids=["token", "password", "none"],
)
def test_the_login_comes_from_the_environment(environment, expected, tmp_path, server, monkeypatch):
    """As MLflow's own client takes it."""
    for name in ("TOKEN", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    execute(tmp_path)

    send(tmp_path, server)

    assert server.authorization == expected
