"""Files from a URL: written aside, continued where the server allows it, renamed when complete."""

import queue
import threading
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from repro import __version__
from repro.digest import CHUNK_BYTES
from repro.engine.resources.resource import Track
from repro.errors import ResourceError

OPEN_TIMEOUT_S = 5.0
"""How long a server may take to answer, name look-up and redirects included."""

READ_TIMEOUT_S = 30.0
"""How long a transfer may stand still."""

HEADERS = {"User-Agent": f"repro/{__version__}"}


def download(url: str, target: Path, *, track: Track) -> None:
    """Bring one file; what a broken transfer left in `<name>.part` is continued.

    Pieces of two versions of a file are not told apart here: the pinned digest of the content does.

    Raises:
        ResourceError: when the server cannot be reached, refuses, or breaks off.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        total_bytes = _transfer(url, part, track=track)
    except HTTPError as error:
        error.close()
        msg = f"the server answered {error.code} {error.reason}"
        raise ResourceError(msg) from error
    except (OSError, HTTPException) as error:
        msg = f"{_reason(error)}{_kept(part)}"
        raise ResourceError(msg) from error
    if total_bytes is not None and part.stat().st_size != total_bytes:
        msg = f"broke off before the end of {total_bytes} bytes{_kept(part)}"
        raise ResourceError(msg)
    part.rename(target)


def _transfer(url: str, part: Path, *, track: Track) -> int | None:
    """Append what is missing to *part*; the size that the server says the whole file has."""
    response = _open(url, start=part.stat().st_size if part.exists() else 0)
    continued = response.status == HTTPStatus.PARTIAL_CONTENT
    with response, part.open("ab" if continued else "wb") as file:
        length = response.headers.get("Content-Length")
        total_bytes = None if length is None else file.tell() + int(length)
        label = f"{part.stem} (MiB)"
        with track(label, _mebibytes(total_bytes or 0)) as advance:
            advance(_mebibytes(file.tell()))
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                advance(_mebibytes(len(chunk)))
    return total_bytes


def _mebibytes(size_bytes: int) -> int:
    return round(size_bytes / (1 << 20))


def _open(url: str, *, start: int) -> HTTPResponse:
    """The answer of the server from byte *start* on, or from 0 where it cannot do that."""
    rest = {"Range": f"bytes={start}-"} if start else {}
    try:
        return _answer(Request(url, headers=HEADERS | rest))
    except HTTPError as error:
        if not start or error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()
        return _answer(Request(url, headers=HEADERS))


def _answer(request: Request) -> HTTPResponse:
    """Ask in a thread, because a name look-up knows no time limit."""
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()
    given_up = threading.Event()

    def ask() -> None:
        answer: HTTPResponse | Exception
        try:
            answer = urlopen(request, timeout=READ_TIMEOUT_S)
        except (OSError, HTTPException) as error:
            answer = error
        answers.put(answer)
        if given_up.is_set() and isinstance(answer, HTTPResponse | HTTPError):
            answer.close()

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=OPEN_TIMEOUT_S)
    except queue.Empty:
        given_up.set()
        msg = f"no answer within {OPEN_TIMEOUT_S:g} s"
        raise TimeoutError(msg) from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return f"not reachable: {reason}" if isinstance(error, URLError) else f"broke off: {reason}"


def _kept(part: Path) -> str:
    if not part.exists():
        return ""
    return f"; {part.stat().st_size} bytes are kept and the next attempt continues there"
