"""Check a bundle of runs without the program that made it. Needs Python 3.9 and nothing else.

    python verify_bundle.py [FOLDER] [--head sha256:...] [--digest sha256:...]

FOLDER is the bundle, by default the folder of this file. Everything is read again: the chain and
the seal of every segment, the digest of every artifact and of every other file, the id of every
run, the head of the ledger that the bundle was taken from. What is not as it was recorded is
printed, one line each: which file, which record, what was expected, what was found. The exit status
is 0 if nothing is, 1 if something is, 2 if it could not be checked.

Whoever made the bundle could make another one that agrees with itself. So hold it to something that
was published elsewhere: --head is what `repro ledger head` printed, --digest names this very
bundle. And who does not trust this file takes the one of the project's release.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035  (Python 3.9 has them here as well)

SUMS, CONTENT = "SHA256SUMS", "bundle.json"
FORMAT = 1
_FORMATS = (1, 2)
_ZEROS = "0" * 64
_KEYS = ["seq", "time", "kind", "data", "prev", "hash"]
_HASH_BYTES = len(',"hash":""}') + 64
_EXECUTION_ID = r"\d{8}T\d{12}-[0-9a-f]{8}"
_DIGEST = r"sha256:[0-9a-f]{64}"
_SUM = re.compile(r"([0-9a-f]{64})  ([^\s/][^\n]*)")
_NAMING = {
    "artifact": ("sha256",),
    "checkpoint": ("weights", "state"),
    "measurement": ("samples", "features", "influence", "reference"),
}
"""The fields that name artifacts, by kind of record."""


class CannotCheckError(Exception):
    """There is nothing here that could be checked."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was recorded; `record` is a sequence number in a segment."""

    file: str
    problem: str
    expected: str
    found: str
    record: int | None = None

    def __str__(self) -> str:
        place = self.file if self.record is None else f"{self.file}: record {self.record}"
        return f"{place}: {self.problem}: expected {self.expected}, found {self.found}"


class BrokenError(Exception):
    """The first record of a segment that does not follow."""

    def __init__(self, record: int, problem: str, *, expected: str, found: str) -> None:
        super().__init__(problem)
        self.record, self.problem, self.expected, self.found = record, problem, expected, found

    def in_file(self, file: str) -> Finding:
        return Finding(file, self.problem, self.expected, self.found, self.record)


@dataclass
class Segment:
    """What a segment says, up to its first break.

    `named` are the artifacts that it names, each with the number of the record; `spec` is the text
    that `run_id` is the digest of; `seal` is the hash of its last record, if that is one, and
    `in_head` whether the head lists it.
    """

    num_records: int = 0
    run_id: str | None = None
    spec: str | None = None
    title: str = ""
    outcome: str = "not sealed"
    seal: str | None = None
    in_head: bool = False
    named: dict[str, int] = field(default_factory=dict)


@dataclass
class Report:
    """Everything that was read, and what is wrong with it.

    `left_out` are the artifacts that the bundle says it does not hold, each with the reason; none
    if what says so was changed.
    """

    digest: str = ""
    head: str | None = None
    segments: dict[str, Segment] = field(default_factory=dict)
    num_files: int = 0
    left_out: dict[str, str] | None = None
    findings: list[Finding] = field(default_factory=list)


def verify(folder: Path, *, head: str | None = None, digest: str | None = None) -> Report:
    """Read a bundle and hold it to itself, and to the head and the digest that are given.

    Raises:
        CannotCheckError: this folder is no bundle.
    """
    if not (folder / SUMS).is_file():
        raise CannotCheckError(f"{folder}: no bundle here; expected a file {SUMS}")
    report = Report()
    listed = _listed(folder, report)
    found = {name: _sha256_file(folder / name) for name in _files(folder)}
    report.num_files = len(found)
    for name in found:
        if name.startswith("ledger/segments/"):
            report.segments[Path(name).stem] = _segment(folder, name, report)
    if listed.get(CONTENT) == found.get(CONTENT):  # else that is what is found below
        report.left_out = _left_out(folder)
        if report.left_out is None:
            problem = "does not say which artifacts were left out"
            report.findings.append(Finding(CONTENT, problem, "left_out", "nothing"))
    _check_artifacts(found, report)
    _check_specs(folder, report)
    _check_head(folder, report)
    _check_files(listed, found, report)
    for what, wanted, actual in (("digest", digest, report.digest), ("head", head, report.head)):
        if wanted is not None and wanted != actual:
            problem = f"the {what} of this bundle is not the one that was given"
            report.findings.append(Finding(SUMS, problem, wanted, str(actual)))
    return report


# --- the files of the bundle ------------------------------------------------------------------


def _listed(folder: Path, report: Report) -> dict[str, str]:
    """The SHA-256 of every file by its name, as `SHA256SUMS` lists them.

    Its first line is `# ` and the digest of the others, which is the digest of the bundle.
    """
    first, _, rest = (folder / SUMS).read_bytes().partition(b"\n")
    report.digest = _sha256(rest)
    if first != b"# " + report.digest.encode():
        problem = "was edited: its lines do not give the digest in the first"
        found = first.decode(errors="replace")
        report.findings.append(Finding(SUMS, problem, f"# {report.digest}", found))
    lines = [_SUM.fullmatch(each) for each in rest.decode(errors="replace").split("\n")[:-1]]
    return {line[2]: f"sha256:{line[1]}" for line in lines if line is not None}


def _files(folder: Path) -> list[str]:
    """Every file of the bundle but `SHA256SUMS`, by its name in there."""
    return sorted(
        (Path(parent) / name).relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder)
        for name in names
        if Path(parent) / name != folder / SUMS
    )


def _check_files(listed: dict[str, str], found: dict[str, str], report: Report) -> None:
    """Hold all files to `SHA256SUMS`, but those that are already known to be broken."""
    known = {each.file for each in report.findings}
    for name in sorted(listed.keys() | found.keys()):
        wanted, actual = listed.get(name), found.get(name, "no file")
        if wanted == actual or name in known or SUMS in known:
            continue
        if wanted is None:
            problem, wanted = f"is not listed in {SUMS}", "no file"
        else:
            problem = f"is not the file that {SUMS} lists"
        report.findings.append(Finding(name, problem, wanted, actual))


def _check_artifacts(found: dict[str, str], report: Report) -> None:
    """Hold artifacts to their names; every one that a record names must be there or be left out.

    Which ones were left out is not asked of a file that was changed.
    """
    named = {
        sha256: (name, record)
        for name, segment in sorted(report.segments.items())
        for sha256, record in segment.named.items()
    }
    objects = (each for each in found if each.startswith("ledger/objects/"))
    stored = {f"sha256:{Path(each).name}" for each in objects}
    absent = named.keys() if report.left_out is None else report.left_out.keys()
    for sha256 in sorted(stored | named.keys()):
        name, record = named.get(sha256, (None, None))
        by = "by no record" if name is None else f"by {name}"
        if not re.fullmatch(_DIGEST, sha256):
            problem = f"{sha256!r}: expected sha256: and 64 hex digits"
            report.findings.append(Finding(by, problem, "a digest", sha256, record))
            continue
        file = f"ledger/objects/{sha256[7:9]}/{sha256[7:]}"
        actual = found.get(file, "no file")
        if actual == sha256 or (actual == "no file" and sha256 in absent):
            continue
        problem = f"the artifact, named {by}, is not what was stored"
        report.findings.append(Finding(file, problem, sha256, actual, record))


def _left_out(folder: Path) -> dict[str, str] | None:
    """What the bundle says of artifacts that it does not hold; none if it does not say."""
    try:
        content = json.loads((folder / CONTENT).read_bytes())
        return {str(sha256): str(reason) for sha256, reason in content["left_out"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _check_specs(folder: Path, report: Report) -> None:
    """Hold the copies of the specs to the segments."""
    for run_id, spec in {each.run_id: each.spec for each in report.segments.values()}.items():
        if run_id is None or spec is None:
            continue
        file = f"specs/{run_id}.json"
        path = folder / file
        actual = xxh3_128(path.read_bytes()) if path.is_file() else "no file"
        if actual != run_id:
            problem = "is not the spec of the run that it is named after"
            report.findings.append(Finding(file, problem, run_id, actual))


def _check_head(folder: Path, report: Report) -> None:
    """Hold the seals to the head of the ledger that the bundle was taken from."""
    for path in sorted((folder / "ledger" / "heads").glob("*.json")):
        file, data = path.relative_to(folder).as_posix(), path.read_bytes()
        report.head = _sha256(data)
        if report.head != f"sha256:{path.stem}":
            problem = "the statement was changed"
            report.findings.append(Finding(file, problem, f"sha256:{path.stem}", report.head))
            continue
        try:
            subjects = json.loads(data)["subject"]
            listed = {each["name"]: each["digest"]["sha256"] for each in subjects}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            problem = "is no statement over seals"
            report.findings.append(Finding(file, problem, "a list of seals", repr(error)))
        else:
            report.findings += list(_differing(listed, report))


def _differing(listed: dict[str, str], report: Report) -> Iterator[Finding]:
    """The segments whose seal is not the one that the head lists, but those known to be broken.

    One that was sealed later contradicts nothing.
    """
    known = {each.file for each in report.findings}
    for name, segment in sorted(report.segments.items()):
        segment.in_head = segment.seal is not None and segment.seal == listed.get(name)
        file = f"ledger/segments/{name}.jsonl"
        if name in listed and not segment.in_head and file not in known:
            problem = f"is not as it was when head {str(report.head)[:19]}… was taken"
            found = f"seal {segment.seal}" if segment.seal else "no seal"
            yield Finding(file, problem, f"seal {listed[name]}", found)


# --- segments: the same rules, and the same words, as the program's ----------------------------


def _segment(folder: Path, file: str, report: Report) -> Segment:
    segment = Segment()
    try:
        for line in _lines(folder / file):
            _take_in(segment, line)
    except BrokenError as broken:
        report.findings.append(broken.in_file(file))
    return segment


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a segment, each held to the one before, the last to all of them.

    Raises:
        BrokenError: at the first that does not follow.
    """
    *whole, torn = path.read_bytes().split(b"\n")
    seq, prev, sealed, peaks = 0, _ZEROS, False, list[tuple[int, bytes]]()
    for seq, raw in enumerate(whole):
        line = _parsed(raw, seq)
        if sealed:
            raise BrokenError(seq, "added after the seal", expected="nothing", found=line["kind"])
        _hold_to_chain(line, seq, prev)
        if seq == 0:
            _hold_to_place(line, path.stem)
        if line["kind"] == "seal":
            _hold_to_seal(line, peaks)
        prev, sealed = line["hash"], line["kind"] == "seal"
        _add_leaf(peaks, raw)
        yield line
    if torn and sealed:
        found = f"{len(torn)} bytes"
        raise BrokenError(seq + 1, "added after the seal", expected="nothing", found=found)


def _parsed(raw: bytes, record: int) -> dict[str, Any]:
    """One line, held to its own hash."""
    try:
        value = _JSON.decode(raw.decode())
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode()  # refuses half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise BrokenError(record, "is not JSON", expected="a record", found=str(error)) from error
    if raw[:1] != b"{" or list(value) != _KEYS or not _well_typed(value):
        found = raw[:60].decode(errors="replace")
        problem = "is not a record"
        raise BrokenError(record, problem, expected=", ".join(_KEYS), found=found)
    actual = hashlib.sha256(raw[:-_HASH_BYTES]).hexdigest()
    if value["hash"] != actual or not raw.endswith(b'"%s"}' % actual.encode()):
        problem = "was edited: its bytes do not give its hash"
        raise BrokenError(record, problem, expected=value["hash"], found=actual)
    return dict(value)


def _well_typed(value: dict[str, Any]) -> bool:
    texts = all(isinstance(value[key], str) for key in ("time", "kind", "prev", "hash"))
    return texts and type(value["seq"]) is int and isinstance(value["data"], dict)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number of JSON")
    return number


_JSON = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _hold_to_chain(line: dict[str, Any], seq: int, prev: str) -> None:
    if line["seq"] != seq:
        problem = "out of sequence (a record was removed, repeated or moved)"
        raise BrokenError(seq, problem, expected=f"seq {seq}", found=f"seq {line['seq']}")
    if line["prev"] != prev:
        problem = "does not follow the record before it"
        raise BrokenError(seq, problem, expected=f"prev {prev}", found=line["prev"])


def _hold_to_place(line: dict[str, Any], execution_id: str) -> None:
    if not re.fullmatch(_EXECUTION_ID, execution_id, re.ASCII):
        problem = "is in a file that no execution names so"
        raise BrokenError(0, problem, expected=_EXECUTION_ID, found=execution_id)
    format_ = line["data"].get("format")
    for name, wanted, actual in (
        ("kind", "start", line["kind"]),
        ("execution_id", execution_id, line["data"].get("execution_id")),
        ("format", format_ if format_ in _FORMATS else _FORMATS[-1], format_),
    ):
        if actual != wanted:
            problem = f"does not start this segment: its {name} is another"
            raise BrokenError(0, problem, expected=str(wanted), found=str(actual))


def _hold_to_seal(line: dict[str, Any], peaks: list[tuple[int, bytes]]) -> None:
    expected = f"{line['seq']} records, sha256:{_root(peaks)}"
    found = f"{line['data'].get('num_records')} records, {line['data'].get('merkle_root')}"
    if found != expected:
        problem = "the seal does not fit its records"
        raise BrokenError(line["seq"], problem, expected=expected, found=found)


def _take_in(segment: Segment, line: dict[str, Any]) -> None:
    """Keep what a record says of the run, of artifacts and of the end."""
    kind, data, seq = line["kind"], line["data"], line["seq"]
    segment.num_records += 1
    if kind == "start":
        segment.run_id, segment.spec = data.get("run_id"), data.get("canonical_spec")
        segment.title = str(data.get("title", ""))
        actual = None if segment.spec is None else xxh3_128(str(segment.spec).encode())
        if actual != segment.run_id:
            problem = "the run's id is not the digest of its spec"
            raise BrokenError(seq, problem, expected=str(actual), found=str(segment.run_id))
    elif kind == "seal":
        segment.outcome, segment.seal = str(data.get("outcome")), line["hash"]
    for name in _NAMING.get(kind, ()):
        if data.get(name) is not None:
            segment.named[str(data[name])] = seq


# --- digests ----------------------------------------------------------------------------------


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _sha256_file(path: Path) -> str:
    if path.is_symlink():
        return "a link"
    proof = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            proof.update(chunk)
    return f"sha256:{proof.hexdigest()}"


def _add_leaf(peaks: list[tuple[int, bytes]], leaf: bytes) -> None:
    """Add to a Merkle tree (RFC 9162, section 2.1.1), kept as its perfect subtrees."""
    size, node = 1, hashlib.sha256(b"\x00" + leaf).digest()
    while peaks and peaks[-1][0] == size:
        node = hashlib.sha256(b"\x01" + peaks.pop()[1] + node).digest()
        size *= 2
    peaks.append((size, node))


def _root(peaks: list[tuple[int, bytes]]) -> str:
    if not peaks:
        return hashlib.sha256(b"").hexdigest()
    node = peaks[-1][1]
    for _, left in reversed(peaks[:-1]):
        node = hashlib.sha256(b"\x01" + left + node).digest()
    return node.hex()


_MASK = (1 << 64) - 1
_PRIME32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
_PRIME64 = (
    *(0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9),
    *(0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5),
)
_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


def xxh3_128(data: bytes) -> str:
    """32 hex digits that name these bytes (XXH3, 128 bits, seed 0)."""
    if len(data) <= 16:
        high, low = _xxh3_short(data)
    elif len(data) <= 240:
        high, low = _xxh3_middle(data)
    else:
        high, low = _xxh3_long(data)
    return f"{high:016x}{low:016x}"


def _xxh3_short(data: bytes) -> tuple[int, int]:
    size = len(data)
    if size == 0:
        return (
            _avalanche64(_u64(_SECRET, 80) ^ _u64(_SECRET, 88)),
            _avalanche64(_u64(_SECRET, 64) ^ _u64(_SECRET, 72)),
        )
    if size <= 3:
        low = data[0] << 16 | data[size >> 1] << 24 | data[-1] | size << 8
        swapped = int.from_bytes(low.to_bytes(4, "little"), "big")
        high = (swapped << 13 | swapped >> 19) & 0xFFFFFFFF
        return (
            _avalanche64(high ^ _u32(_SECRET, 8) ^ _u32(_SECRET, 12)),
            _avalanche64(low ^ _u32(_SECRET, 0) ^ _u32(_SECRET, 4)),
        )
    if size <= 8:
        both = _u32(data, 0) + (_u32(data, size - 4) << 32)
        keyed = both ^ _u64(_SECRET, 16) ^ _u64(_SECRET, 24)
        product = keyed * (_PRIME64[0] + (size << 2))
        low, high = product & _MASK, product >> 64
        high = (high + (low << 1)) & _MASK
        low ^= high >> 3
        low = (low ^ low >> 35) * 0x9FB21C651E98DF25 & _MASK
        return _avalanche(high), low ^ low >> 28
    first, last = _u64(data, 0), _u64(data, size - 8)
    product = (first ^ last ^ _u64(_SECRET, 32) ^ _u64(_SECRET, 40)) * _PRIME64[0]
    low, high = (product & _MASK) + ((size - 1) << 54) & _MASK, product >> 64
    last ^= _u64(_SECRET, 48) ^ _u64(_SECRET, 56)
    high = high + last + (last & 0xFFFFFFFF) * (_PRIME32[1] - 1) & _MASK
    low ^= int.from_bytes(high.to_bytes(8, "little"), "big")
    product = low * _PRIME64[1]
    return _avalanche((product >> 64) + high * _PRIME64[1] & _MASK), _avalanche(product & _MASK)


def _xxh3_middle(data: bytes) -> tuple[int, int]:
    size = len(data)
    low, high = size * _PRIME64[0] & _MASK, 0

    def mix(first: int, second: int, secret: int) -> None:
        nonlocal low, high
        low = low + _fold(data, first, _SECRET, secret) & _MASK
        low ^= _u64(data, second) + _u64(data, second + 8) & _MASK
        high = high + _fold(data, second, _SECRET, secret + 16) & _MASK
        high ^= _u64(data, first) + _u64(data, first + 8) & _MASK

    if size <= 128:
        for i in range((size - 1) // 32, -1, -1):
            mix(16 * i, size - 16 * (i + 1), 32 * i)
    else:
        for i in range(0, 128, 32):
            mix(i, i + 16, i)
        low, high = _avalanche(low), _avalanche(high)
        for i in range(128, size - 31, 32):
            mix(i, i + 16, i - 125)
        mix(size - 16, size - 32, 103)
    mixed = low * _PRIME64[0] + high * _PRIME64[3] + size * _PRIME64[1] & _MASK
    return -_avalanche(mixed) & _MASK, _avalanche(low + high & _MASK)


def _xxh3_long(data: bytes) -> tuple[int, int]:
    size = len(data)
    lanes = [_PRIME32[2], *_PRIME64[:4], _PRIME32[1], _PRIME64[4], _PRIME32[0]]

    def accumulate(at: int, secret: int) -> None:
        for i in range(8):
            value = _u64(data, at + 8 * i)
            key = value ^ _u64(_SECRET, secret + 8 * i)
            lanes[i ^ 1] = lanes[i ^ 1] + value & _MASK
            lanes[i] = lanes[i] + (key & 0xFFFFFFFF) * (key >> 32) & _MASK

    num_stripes = (size - 1) // 64
    for stripe in range(num_stripes):
        accumulate(64 * stripe, 8 * (stripe % 16))
        if stripe % 16 == 15:
            for i in range(8):
                mixed = lanes[i] ^ lanes[i] >> 47 ^ _u64(_SECRET, 128 + 8 * i)
                lanes[i] = mixed * _PRIME32[0] & _MASK
    accumulate(size - 64, 121)
    packed = b"".join(lane.to_bytes(8, "little") for lane in lanes)

    def merged(secret: int, start: int) -> int:
        folds = (_fold(packed, 16 * i, _SECRET, secret + 16 * i) for i in range(4))
        return _avalanche(start + sum(folds) & _MASK)

    return merged(117, ~(size * _PRIME64[1]) & _MASK), merged(11, size * _PRIME64[0] & _MASK)


def _fold(data: bytes, at: int, secret: bytes, key: int) -> int:
    left = _u64(data, at) ^ _u64(secret, key)
    product = left * (_u64(data, at + 8) ^ _u64(secret, key + 8))
    return product & _MASK ^ product >> 64


def _avalanche(value: int) -> int:
    value = (value ^ value >> 37) * 0x165667919E3779F9 & _MASK
    return value ^ value >> 32


def _avalanche64(value: int) -> int:
    value = (value ^ value >> 33) * _PRIME64[1] & _MASK
    value = (value ^ value >> 29) * _PRIME64[2] & _MASK
    return value ^ value >> 32


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


# --- the command ------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Verify a bundle, say what it holds and what is wrong with it; returns the exit status."""
    parser = argparse.ArgumentParser(description="Check a bundle of runs; needs only Python.")
    own_folder = Path(__file__).resolve().parent
    parser.add_argument("folder", nargs="?", type=Path, default=own_folder, metavar="FOLDER")
    parser.add_argument("--head", help="the head of the ledger, as it was published elsewhere")
    parser.add_argument("--digest", help="the digest of this bundle, as it was published elsewhere")
    given = parser.parse_args(arguments)
    try:
        report = verify(given.folder, head=given.head, digest=given.digest)
    except (CannotCheckError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for line in _told(report):
        sys.stdout.write(f"{line}\n")
    for finding in report.findings:
        sys.stdout.write(f"{finding}\n")
    num_broken = len(report.findings)
    sys.stderr.write(f"{num_broken} broken\n" if num_broken else "verified\n")
    return 1 if num_broken else 0


def _told(report: Report) -> Iterator[str]:
    for name, segment in sorted(report.segments.items()):
        run = f"run {segment.run_id} {segment.title}" if segment.run_id else "no run"
        place = "" if segment.in_head else ", not in the head"
        yield f"execution {name}: {run}: {segment.outcome}, {segment.num_records} records{place}"
    yield f"{report.num_files} files, {len(report.left_out or ())} artifacts left out"
    yield f"digest {report.digest}"
    yield f"head {report.head}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
