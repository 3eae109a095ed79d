"""Lines, links and the Merkle root."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.ledger.chain import ChainError, Tip, Tree, follow, leaf_of, parse, render, root_of

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def chain(*texts: str) -> list[bytes]:
    """Lines that follow each other."""
    tip, lines = Tip(), []
    for text in texts:
        data = b'{"text":"%s"}' % text.encode()
        lines.append(render(seq=tip.seq, time=NOON, kind="note", data=data, prev=tip.hash))
        tip = tip.after(lines[-1], kind="note")
    return lines


def reference_root(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    left, right = reference_root(leaves[:split]), reference_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_root_is_that_of_the_standard(leaves):
    """The growing tree has the root that RFC 9162 defines, for any number of leaves."""
    tree = Tree()
    for leaf in leaves:
        tree = tree.add(leaf)

    assert tree.root() == reference_root(leaves).hex()
    assert root_of([leaf_of(leaf) for leaf in leaves]) == tree.root()


def test_a_line_says_what_was_put_in():
    """A line holds number, time in UTC, kind, data and the link, in this order."""
    (line,) = follow(chain("hello"), Tip())

    assert (line.seq, line.time, line.kind) == (0, "2026-01-31T12:00:00.000000Z", "note")
    assert line.data == {"text": "hello"}
    assert line.prev == "0" * 64
    assert line.raw.startswith(b'{"seq":0,"time":"2026-')


def test_a_hash_is_that_of_the_bytes_before_it():
    """Anybody can check a line with sha256sum."""
    (raw,) = chain("hello")
    head, _, tail = raw.partition(b',"hash":"')

    assert hashlib.sha256(head).hexdigest().encode() == tail[:-2]


def test_every_changed_byte_is_found():
    """No byte of a line can be changed without the line or its link saying so."""
    first, second = chain("one", "two")

    for place in range(len(first)):
        edited = first[:place] + bytes([first[place] ^ 1]) + first[place + 1 :]
        with pytest.raises(ChainError):
            list(follow([edited, second], Tip()))


@pytest.mark.parametrize(
    ("change", "record"),
    [
        (lambda a, b, c, d: [a, c, d], 1),
        (lambda a, b, c, d: [a, b, b, c, d], 2),
        (lambda a, b, c, d: [a, c, b, d], 1),
        (lambda a, b, c, d: [b, c, d], 0),
    ],
    ids=["removed", "repeated", "swapped", "beheaded"],
)
def test_moved_lines_are_found(change, record):
    """The first line out of place is named."""
    lines = change(*chain("a", "b", "c", "d"))

    with pytest.raises(ChainError, match="out of sequence") as error:
        list(follow(lines, Tip()))

    assert error.value.record == record


def test_a_line_of_another_chain_is_found():
    """A well-formed line with the right number does not fit another history."""
    ours, theirs = chain("a", "b"), chain("x", "y")

    with pytest.raises(ChainError, match="does not follow"):
        list(follow([ours[0], theirs[1]], Tip()))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"7",
        b"[" * 100_000,
        b'{"seq":"0","time":"","kind":"","data":{},"prev":"","hash":""}',
        b'{"seq":true,"time":"","kind":"","data":{},"prev":"","hash":""}',
        b' {"seq":0,"time":"","kind":"","data":{},"prev":"","hash":""}',
        b'{"seq":0,"time":"","kind":"","data":{"a":NaN},"prev":"","hash":""}',
        b'{"seq":0,"time":"","kind":"","data":{"a":1e999},"prev":"","hash":""}',
        b'{"seq":0,"time":"","kind":"","data":{"a":"\\ud800"},"prev":"","hash":""}',
        b'{"seq":0,"time":"","kind":"","data":{"a":"\\ud800\\u0041"},"prev":"","hash":""}',
        b'{"seq":0,"time":"","kind":"","data":{"a":-Infinity},"prev":"","hash":""}',
        b'{"seq":0,"time":"","kind":"","data":{"a":"\x01"},"prev":"","hash":""}',
        b'{"seq":0.0,"time":"","kind":"","data":{},"prev":"","hash":""}',
        b'{"seq":0,"time":"","kind":"","data":{},"prev":"","hash":null}',
        b'{"seq":0,"time":"","kind":"","data":[],"prev":"","hash":""}',
        b'{"seq":0,"kind":"","time":"","data":{},"prev":"","hash":""}',
    ],
)
def test_garbage_is_no_line(raw):
    """Whatever bytes there are, the answer is that this is no record."""
    with pytest.raises(ChainError) as error:
        parse(raw, record=4)

    assert error.value.record == 4
