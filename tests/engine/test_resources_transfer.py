"""Downloads against a real server on this machine."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from repro.engine import resources
from repro.engine.progress import Advance, Silent
from repro.engine.resources import transfer
from repro.engine.resources.sources import Download
from repro.engine.resources.transfer import download
from repro.errors import ResourceError
from tests.engine.small_resource import CONTENT, Notices, Shelf, small_resource

CONTENTS = bytes(range(256)) * 8192  # 2 MiB
track = Silent().track


class Server(ThreadingHTTPServer):
    """Serves one content under every path; its switches make it misbehave."""

    content = CONTENTS
    ranges = True
    cut_after: int | None = None
    status: int | None = None
    delay_s = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """Answers as the switches of its server say."""

    server: Server

    def do_GET(self) -> None:
        server = self.server
        header = self.headers["Range"]
        server.asked.append((self.path, header))
        time.sleep(server.delay_s)
        start = int(header.removeprefix("bytes=").rstrip("-")) if header and server.ranges else 0
        if server.status or start >= len(server.content):
            self.send_error(server.status or 416)
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut_after])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def test_download_brings_the_file(server: Server, tmp_path: Path) -> None:
    """The file arrives whole, and nothing lies beside it."""
    download(f"{server.url}file", tmp_path / "file", track=track)

    assert (tmp_path / "file").read_bytes() == CONTENTS
    assert len(list(tmp_path.iterdir())) == 1


def test_half_download_is_kept_and_said(server: Server, tmp_path: Path) -> None:
    """When the server breaks off, what came stays, and the error says how much."""
    server.cut_after = 1000

    with pytest.raises(ResourceError, match="1000 bytes are kept and the next attempt continues"):
        download(f"{server.url}file", tmp_path / "file", track=track)
    assert [path.name for path in tmp_path.iterdir()] == ["file.part"]


def test_half_download_continues(server: Server, tmp_path: Path) -> None:
    """The next attempt asks for the rest only, and the whole is right."""
    (tmp_path / "file.part").write_bytes(CONTENTS[:1000])

    download(f"{server.url}file", tmp_path / "file", track=track)

    assert server.asked == [("/file", "bytes=1000-")]
    assert (tmp_path / "file").read_bytes() == CONTENTS


def test_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    """A server that cannot continue sends everything, and the old half is dropped."""
    server.ranges = False
    (tmp_path / "file.part").write_bytes(b"old")

    download(f"{server.url}file", tmp_path / "file", track=track)

    assert (tmp_path / "file").read_bytes() == CONTENTS


@pytest.mark.parametrize("surplus", [b"", b"more"])
def test_part_beyond_the_end_starts_again(surplus: bytes, server: Server, tmp_path: Path) -> None:
    """A part as long as the file, or longer, is not continued but replaced."""
    (tmp_path / "file.part").write_bytes(bytes(len(CONTENTS)) + surplus)

    download(f"{server.url}file", tmp_path / "file", track=track)

    assert (tmp_path / "file").read_bytes() == CONTENTS


def test_refusal_names_the_status(server: Server, tmp_path: Path) -> None:
    """A server that refuses is quoted."""
    server.status = 404

    with pytest.raises(ResourceError, match="the server answered 404 Not Found"):
        download(f"{server.url}file", tmp_path / "file", track=track)


def test_silent_server_costs_little(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer is given up after the time limit."""
    server.delay_s = 0.5
    monkeypatch.setattr(transfer, "OPEN_TIMEOUT_S", 0.1)

    with pytest.raises(ResourceError, match=r"no answer within 0\.1 s"):
        download(f"{server.url}file", tmp_path / "file", track=track)


def test_unreachable_server_is_said(tmp_path: Path) -> None:
    """A port that nobody listens at is not reachable."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/file"

        with pytest.raises(ResourceError, match=r"^not reachable: .*refused$"):
            download(url, tmp_path / "file", track=track)


def test_progress_counts_mebibytes(server: Server, tmp_path: Path) -> None:
    """A continued download starts its bar where it continues and fills it."""
    (tmp_path / "file.part").write_bytes(CONTENTS[: 1 << 20])
    seen: list[object] = []

    def advance(amount: int, note: str = "") -> None:
        seen.append(amount)

    def record(label: str, total: int) -> AbstractContextManager[Advance]:
        seen.append((label, total))
        return nullcontext(advance)

    download(f"{server.url}file", tmp_path / "file", track=record)

    assert seen == [("file (MiB)", 2), 1, 1]


def test_several_files_come_into_one_folder(server: Server, tmp_path: Path) -> None:
    """A source of several files gives their folder, and brings only what is not there yet."""
    (tmp_path / "a").write_bytes(b"here")

    brought = Download(server.url, ("a", "b")).obtain(tmp_path, track=track)

    assert brought == tmp_path
    assert server.asked == [("/b", None)]


def test_broken_fetch_continues_through_the_cache(server: Server, tmp_path: Path) -> None:
    """A fetch that broke off in one command continues in the next and ends in the cache."""
    server.content, server.cut_after = CONTENT, 3
    table = small_resource(Download(server.url, ("file",)))
    with pytest.raises(ResourceError, match="3 bytes are kept"):
        resources.fetch("small", cache=tmp_path, notify=Notices(), table=table)
    server.cut_after = None

    resources.fetch("small", cache=tmp_path, notify=Notices(), table=table)

    assert [header for _, header in server.asked] == [None, "bytes=3-"]
    assert resources.present("small", tmp_path, table=table)


def test_wrong_content_is_not_continued(server: Server, tmp_path: Path) -> None:
    """A download with other content is thrown away, and the next source gives the right one."""
    server.content = b"another file"
    table = small_resource(Download(server.url, ("file",)), Shelf("second"))
    notices = Notices()

    resources.fetch("small", cache=tmp_path, notify=notices, table=table)

    assert len(notices.about("expected content sha256:")) == 1
    assert list(tmp_path.rglob("file*")) == []
