"""How records hang together: lines, links between lines, and the root over all of them.

A line is `{"seq":…,"time":…,"kind":…,"data":{…},"prev":…,"hash":…}`. `hash` is the SHA-256 of the
line's own bytes before `,"hash"`, `prev` is the `hash` of the line before (zeros at first). So an
edited line contradicts itself, and a removed, added or moved line contradicts its neighbour. The
root is the Merkle tree hash of RFC 9162, section 2.1.1, over the lines without their newline.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

import orjson
from attrs import frozen

ZEROS = "0" * 64
_HASH_END = len('"}')
_HASH_BYTES = len(',"hash":"') + 64 + _HASH_END
_KEYS = ["seq", "time", "kind", "data", "prev", "hash"]
_TYPES = [int, str, str, dict, str, str]


class Line(NamedTuple):
    """One line of a segment: `raw` without its newline, and what it says, in its order."""

    raw: bytes
    seq: int
    time: str
    kind: str
    data: dict[str, Any]
    prev: str
    hash: str

    def tip(self, size_bytes: int) -> "Tip":
        """Where a chain goes on after this line, which ends its first `size_bytes`."""
        return Tip(
            seq=self.seq + 1, hash=self.hash, size_bytes=size_bytes, sealed=self.kind == "seal"
        )


class ChainError(ValueError):
    """The first line that does not follow: which, in what, what was expected, what is there."""

    def __init__(self, record: int, problem: str, *, expected: str, found: str) -> None:
        self.record, self.problem = record, problem
        self.expected, self.found = expected, found
        super().__init__(f"record {record}: {problem}: expected {expected}, found {found}")


@frozen(kw_only=True)
class Tip:
    """Where a chain can go on: next number, last hash, bytes so far, whether it is sealed."""

    seq: int = 0
    hash: str = ZEROS
    size_bytes: int = 0
    sealed: bool = False

    def after(self, raw: bytes, *, kind: str) -> "Tip":
        return Tip(
            seq=self.seq + 1,
            hash=raw[-_HASH_END - 64 : -_HASH_END].decode(),
            size_bytes=self.size_bytes + len(raw) + 1,
            sealed=kind == "seal",
        )


def render(*, seq: int, time: datetime, kind: str, data: bytes, prev: str) -> bytes:
    """A line without its newline; `data` is canonical JSON."""
    stamp = time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    head = b'{"seq":%d,"time":"%sZ","kind":"%s","data":%s,"prev":"%s"' % (
        seq,
        stamp.encode(),
        kind.encode(),
        data,
        prev.encode(),
    )
    return b'%s,"hash":"%s"}' % (head, sha256(head).hexdigest().encode())


def follow(raw_lines: Iterable[bytes], tip: Tip) -> Iterator[Line]:
    """The lines that follow `tip`, each checked against itself and the one before.

    Raises:
        ChainError: at the first line that does not follow.
    """
    seq, prev, sealed = tip.seq, tip.hash, tip.sealed
    for raw in raw_lines:
        line = parse(raw, record=seq)
        if sealed:
            raise ChainError(seq, "added after the seal", expected="nothing", found=line.kind)
        if line.seq != seq:
            problem = "out of sequence (a record was removed, repeated or moved)"
            raise ChainError(seq, problem, expected=f"seq {seq}", found=f"seq {line.seq}")
        if line.prev != prev:
            problem = "does not follow the record before it"
            raise ChainError(seq, problem, expected=f"prev {prev}", found=line.prev)
        seq, prev, sealed = seq + 1, line.hash, line.kind == "seal"
        yield line


def parse(raw: bytes, *, record: int) -> Line:
    """One line, held against its own hash.

    Raises:
        ChainError: the bytes are no line, or were edited.
    """
    try:
        value = orjson.loads(raw)  # refuses NaN, 1e999 and half a surrogate pair
    except ValueError as error:
        raise ChainError(record, "is not JSON", expected="a record", found=str(error)) from error
    if raw[:1] != b"{" or [*value] != _KEYS or [*map(type, value.values())] != _TYPES:
        problem = "is not a record"
        raise ChainError(record, problem, expected=", ".join(_KEYS), found=_excerpt(raw))
    line = Line._make((raw, *value.values()))
    actual = sha256(raw[:-_HASH_BYTES]).hexdigest()
    if raw[-_HASH_BYTES:] != b',"hash":"%b"}' % actual.encode():
        problem = "was edited: its bytes do not give its hash"
        raise ChainError(record, problem, expected=line.hash, found=actual)
    return line


def _excerpt(raw: bytes) -> str:
    return raw[:60].decode(errors="replace")


@frozen
class Tree:
    """The part of a growing Merkle tree that later leaves need: its perfect subtrees, large first.

    `peaks` holds (number of leaves, hash) of each.
    """

    peaks: tuple[tuple[int, bytes], ...] = ()

    def add(self, raw: bytes) -> "Tree":
        peaks = list(self.peaks)
        size, node = 1, leaf_of(raw)
        while peaks and peaks[-1][0] == size:
            _, left = peaks.pop()
            size, node = 2 * size, _parent(left, node)
        return Tree((*peaks, (size, node)))

    def root(self) -> str:
        if not self.peaks:
            return sha256(b"").hexdigest()
        *rest, (_, node) = self.peaks
        for _, left in reversed(rest):
            node = _parent(left, node)
        return node.hex()


def leaf_of(raw: bytes) -> bytes:
    """The hash of a line as a leaf of the tree."""
    return sha256(b"\x00" + raw).digest()


def root_of(leaves: Sequence[bytes]) -> str:
    """The root over the hashes of all leaves: what a `Tree` gives that grew by their lines."""
    if not leaves:
        return Tree().root()
    level = list(leaves)
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [*map(_parent, level[::2], level[1::2]), *odd]
    return level[0].hex()


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
