"""TOML text to plain data, and from a key path back to its line.

The parser forgets where a key stood, so `lines` walks the text again. It is called only when there
is a mistake to report, on text that the parser accepted.
"""

import re
import stat
from bisect import bisect_right
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import tomli

from repro.errors import SpecError
from repro.spec.problems import KeyPath

Found = Generator[tuple[KeyPath, int], None, int]
"""Yields paths with their positions, returns the position after."""

MAX_BYTES = 1 << 18
MAX_DEPTH = 32
BYTE_ORDER_MARK = "\ufeff"  # Windows editors put it before the text

_KEY = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+')
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_SCALAR = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'{3}.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[^,\]}#\n]+',
    re.DOTALL,
)


def read(path: Path, *, asked_by: str = "") -> str:
    """The text of a spec file; *asked_by* is the place that names it, if another file does.

    Raises:
        SpecError: when it is not a readable, small text file in UTF-8.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SpecError(f"{asked_by}{path}: expected a file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"{asked_by}{path}: cannot be read: {reason}") from error
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{path}: expected at most {MAX_BYTES} bytes, a spec is written by people")
    try:
        return raw.decode("utf-8").removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"{path}:{line}: expected UTF-8, got byte {raw[error.start]:#04x}"
        ) from error


def parse(text: str, place: str) -> dict[str, Any]:
    """The data in TOML text; *place* is what an error calls it.

    Raises:
        SpecError: with the line of the first syntax error.
    """
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise SpecError(f"{place}:{error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise SpecError(f"{place}: nested more than {MAX_DEPTH} levels deep") from error
    except ValueError as error:  # from int(): longer than Python converts
        raise SpecError(f"{place}: expected numbers of at most 64 bits: {error}") from error
    if _too_deep(data):
        raise SpecError(f"{place}: nested more than {MAX_DEPTH} levels deep")
    return data


def key_path(text: str) -> tuple[str, ...]:
    """The parts of a dotted key, quoted ones too; none when the text is not a key."""
    if "\n" in text:
        return ()
    try:
        data: Any = tomli.loads(f"{text} = 0")
    except (ValueError, RecursionError):
        return ()
    path: tuple[str, ...] = ()
    while isinstance(data, dict) and len(data) == 1:
        [(part, data)] = data.items()
        path = (*path, part)
    return path if data == 0 else ()


def _too_deep(data: Any) -> bool:
    level = [data]
    for _ in range(MAX_DEPTH):
        values = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for some in values for value in some if isinstance(value, dict | list)]
    return bool(level)


def lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of every key and array entry in valid TOML text."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    found: dict[KeyPath, int] = {}
    for path, position in _statements(text):
        found.setdefault(path, bisect_right(starts, position))
    return found


def _statements(text: str) -> Iterator[tuple[KeyPath, int]]:
    table: KeyPath = ()
    entries: dict[KeyPath, int] = {}
    position = _skip(text, 0)
    while position < len(text):
        if text[position] == "[":
            in_array = text.startswith("[[", position)
            parts, end = _key(text, _skip(text, position + 1 + in_array))
            table = _header(parts, entries, in_array=in_array)
            yield from ((table[: size + 1], position) for size in range(len(table)))
            position = text.index("]", end) + 1 + in_array
        else:
            position = yield from _pair(text, position, table)
        position = _skip(text, position)


def _header(parts: KeyPath, entries: dict[KeyPath, int], *, in_array: bool) -> KeyPath:
    """The path of a table header: through the last entry of every array of tables above it."""
    path: KeyPath = ()
    for depth, part in enumerate(parts, start=1):
        path = (*path, part)
        if in_array and depth == len(parts):
            entries[path] = entries.get(path, -1) + 1
        if path in entries:
            path = (*path, entries[path])
    return path


def _pair(text: str, position: int, table: KeyPath) -> Found:
    parts, end = _key(text, position)
    for size in range(len(parts)):
        yield (*table, *parts[: size + 1]), position
    start = _skip(text, text.index("=", end) + 1)
    return (yield from _value(text, start, (*table, *parts)))


def _value(text: str, position: int, path: KeyPath) -> Found:
    match text[position]:
        case "[":
            return (yield from _array(text, position, path))
        case "{":
            return (yield from _inline_table(text, position, path))
        case _:
            scalar = _SCALAR.match(text, position)
            return scalar.end() if scalar else len(text)


def _array(text: str, position: int, path: KeyPath) -> Found:
    index = 0
    position = _skip(text, position + 1)
    while text[position] != "]":
        yield (*path, index), position
        position = yield from _value(text, position, (*path, index))
        position = _after_comma(text, position)
        index += 1
    return position + 1


def _inline_table(text: str, position: int, path: KeyPath) -> Found:
    position = _skip(text, position + 1)
    while text[position] != "}":
        position = yield from _pair(text, position, path)
        position = _after_comma(text, position)
    return position + 1


def _after_comma(text: str, position: int) -> int:
    position = _skip(text, position)
    return _skip(text, position + 1) if text[position] == "," else position


def _skip(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    return blank.end() if blank else position


def _key(text: str, position: int) -> tuple[KeyPath, int]:
    parts: list[str] = []
    while part := _KEY.match(text, position):
        parts.append(_unquoted(part.group()))
        position = part.end()
        dot = _DOT.match(text, position)
        if dot is None:
            break
        position = dot.end()
    return tuple(parts), position


def _unquoted(part: str) -> str:
    return next(iter(tomli.loads(f"{part} = 0"))) if part[0] in "\"'" else part
