"""An MLflow server as far as an export needs one, with the limits of the real one."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, Any]]

LIMITS = {"metrics": 1000, "params": 100, "tags": 100}
NAME = re.compile(r"[\w.:/ -]{1,250}", re.ASCII)


class FakeServer:
    """What the server holds. From the request number `fails_at` on it refuses everything."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.authorization: str | None = None
        self.fails_at = 10**9
        self.url = ""

    def answer(self, path: str, asked: dict[str, Any]) -> Answer:
        """The status and the answer to one request."""
        self.requests.append(path)
        if len(self.requests) > self.fails_at:
            return 503, {"message": "out of order"}
        found: Answer = getattr(self, re.sub(r"\W", "_", path))(asked)
        return found

    def experiments_get_by_name(self, asked: dict[str, Any]) -> Answer:
        id_ = self.experiments.get(asked["experiment_name"])
        if id_ is None:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
        return 200, {"experiment": {"experiment_id": id_}}

    def experiments_create(self, asked: dict[str, Any]) -> Answer:
        self.experiments[asked["name"]] = str(len(self.experiments))
        return 200, {"experiment_id": self.experiments[asked["name"]]}

    def runs_search(self, asked: dict[str, Any]) -> Answer:
        _, name, _, value, _ = re.split("`|'", asked["filter"])
        found = [
            {"info": {"run_id": id_}, "data": {"tags": [{"key": each} for each in run["tags"]]}}
            for id_, run in self.runs.items()
            if run["tags"].get(name) == value and run["experiment_id"] in asked["experiment_ids"]
        ]
        return 200, {"runs": found} if found else {}

    def runs_create(self, asked: dict[str, Any]) -> Answer:
        id_ = f"run{len(self.runs)}"
        tags = {tag["key"]: tag["value"] for tag in asked["tags"]}
        self.runs[id_] = {**asked, "tags": tags, "params": {}, "metrics": set()}
        return 200, {"run": {"info": {"run_id": id_}}}

    def runs_log_batch(self, asked: dict[str, Any]) -> Answer:
        run = self.runs[asked["run_id"]]
        for kind, limit in LIMITS.items():
            told = asked.get(kind, [])
            if len(told) > limit or not all(NAME.fullmatch(each["key"]) for each in told):
                return 400, {"error_code": "INVALID_PARAMETER_VALUE"}
            if kind == "metrics":
                run[kind] |= {tuple(each.values()) for each in told}
            else:
                run[kind] |= {each["key"]: each["value"] for each in told}
        return 200, {}

    def runs_update(self, asked: dict[str, Any]) -> Answer:
        self.runs[asked["run_id"]] |= asked
        return 200, {}

    def runs_set_tag(self, asked: dict[str, Any]) -> Answer:
        self.runs[asked["run_id"]]["tags"][asked["key"]] = asked["value"]
        return 200, {}


@contextmanager
def serving() -> Iterator[FakeServer]:
    """Answer at `url` while the block lasts."""
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self.reply({key: values[0] for key, values in parse_qs(parts.query).items()})

        def do_POST(self) -> None:
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, asked: dict[str, Any]) -> None:
            fake.authorization = self.headers["Authorization"]
            path = urlsplit(self.path).path.removeprefix("/api/2.0/mlflow/")
            status, told = fake.answer(path, asked)
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
