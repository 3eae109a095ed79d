"""What somebody might do to a ledger that they can write to, each done as well as it can be.

An attack changes the ledger in a folder and returns what verification has to name, in order: each
file with the record. `PLAIN` ones change what is there. `FORGED` ones also make everything in the
folder fit again: every later hash, the seal, the database and the statements that were kept.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from repro import digest
from repro.ledger import rebuild, store
from repro.ledger.chain import Line, Tip, Tree, parse, render
from repro.ledger.segment import utc_now
from tests.ledger.ledgers import lines_of, path_of

Named = list[tuple[str, int | None]]
Attack = Callable[[Path], Named]

CHECKPOINT, MEASURED, SEAL = 6, 9, 11
"""Records of an execution of `ledgers.execute`; the checkpoint is the last to name its weights."""


def first(root: Path) -> str:
    """The id of the first execution."""
    return min(path.stem for path in (root / "segments").iterdir())


def file_of(execution_id: str) -> str:
    """The name of a segment in findings."""
    return f"segments/{execution_id}.jsonl"


def edit_database(root: Path) -> Named:
    """A better value in DuckDB, so that neither size nor time of the file tell."""
    path = root / "ledger.duckdb"
    before = path.stat()
    path.chmod(0o644)
    with duckdb.connect(f"duckdb:{path}") as stranger:
        stranger.execute(
            "UPDATE measurements SET value = 0.125 WHERE execution_id = $1", [first(root)]
        )
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return [("ledger.duckdb", MEASURED)]


def edit_record(root: Path) -> Named:
    """A better value in the segment."""
    return [(_replaced(root, b'"value":12.5', b'"value":2.5'), MEASURED)]


def delete_record(root: Path) -> Named:
    return [(_rearranged(root, lambda lines: lines[:4] + lines[5:]), 4)]


def duplicate_record(root: Path) -> Named:
    return [(_rearranged(root, lambda lines: [*lines[:5], lines[4], *lines[5:]]), 5)]


def reorder_records(root: Path) -> Named:
    return [(_rearranged(root, lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]]), 4)]


def cut_segment(root: Path) -> Named:
    """The seal and the record before it are gone."""
    return [(_rearranged(root, lambda lines: lines[:-2]), SEAL - 1)]


def delete_segment(root: Path) -> Named:
    name = first(root)
    path_of(root, name).unlink()
    return [(file_of(name), None)]


def replace_artifact(root: Path) -> Named:
    """Other weights of the same size."""
    return [(_overwritten(root, b"one", b"eno"), CHECKPOINT)]


def swap_artifacts(root: Path) -> Named:
    """Each of two artifacts of one size under the name of the other."""
    paths = _overwritten(root, b"one", b"two"), _overwritten(root, b"two", b"one")
    return [(path, CHECKPOINT) for path in sorted(paths)]


def change_checkpoint(root: Path) -> Named:
    """A longer training's weights in the place of those that were evaluated."""
    return [(_overwritten(root, b"one", b"one, trained further"), CHECKPOINT)]


def append_after_seal(root: Path) -> Named:
    """A better number, rightly linked to the seal."""
    name = first(root)
    lines = lines_of(root, name)
    seal, measured = _parsed(lines[SEAL]), _parsed(lines[MEASURED])
    raw = render(
        seq=seal.seq + 1,
        time=utc_now(),
        kind="measurement",
        data=_data(measured.data | {"value": 0.125}),
        prev=seal.hash,
    )
    path_of(root, name).write_bytes(b"".join(lines) + raw + b"\n")
    return [(file_of(name), SEAL + 1)]


def back_date(root: Path) -> Named:
    """The claim of an earlier year, in the time of a record."""
    year = _parsed(lines_of(root, first(root))[0]).time[:4].encode()
    return [(_replaced(root, b'"time":"' + year, b'"time":"1999'), 0)]


def replace_spec(root: Path) -> Named:
    """Another spec under the same run's id."""
    return [(_replaced(root, b'{\\"title\\":\\"one\\"}', b'{\\"title\\":\\"two\\"}'), 0)]


def forge_spec_under_id(root: Path) -> Named:
    """Another spec under the same run's id, and everything that follows from it."""

    def other(kind: str, data: dict[str, Any]) -> dict[str, Any]:
        return data | {"canonical_spec": '{"title":"eno"}'} if kind == "start" else data

    return [(_forged(root, other), 0)]


def forge_value(root: Path) -> Named:
    """A better value, and everything that follows from it."""

    def better(kind: str, data: dict[str, Any]) -> dict[str, Any]:
        return data | {"value": 0.125} if kind == "measurement" else data

    return [(_forged(root, better), None)]


def forge_date(root: Path) -> Named:
    """Every record a century earlier, and everything that follows from it."""
    return [(_forged(root, lambda kind, data: data, century=b"19"), None)]


def forge_spec(root: Path) -> Named:
    """Another spec, under the id that it gives, and everything that follows from it."""

    def other(kind: str, data: dict[str, Any]) -> dict[str, Any]:
        spec = '{"title":"eno"}'
        run_id = digest.xxh3_128(spec.encode())
        return data | {"canonical_spec": spec, "run_id": run_id} if kind == "start" else data

    return [(_forged(root, other), None)]


def forge_cut(root: Path) -> Named:
    """An execution that never came to its end."""
    cut_segment(root)
    return [(_covered(root, first(root)), None)]


def forge_deletion(root: Path) -> Named:
    """An execution that never was."""
    name = first(root)
    delete_segment(root)
    return [(_covered(root, name), None)]


def roll_back(root: Path, yesterday: Path) -> None:
    """The whole folder as it was yesterday."""
    shutil.rmtree(root)
    shutil.copytree(yesterday, root)


PLAIN: Mapping[str, Attack] = {
    "edit a value in DuckDB": edit_database,
    "edit a record": edit_record,
    "delete a record": delete_record,
    "duplicate a record": duplicate_record,
    "reorder two records": reorder_records,
    "cut a segment": cut_segment,
    "delete a segment": delete_segment,
    "replace an artifact, same size": replace_artifact,
    "swap two artifacts' names": swap_artifacts,
    "change a checkpoint": change_checkpoint,
    "append after the seal": append_after_seal,
    "back-date": back_date,
    "replace a spec under its id": replace_spec,
    "forge a spec under its id": forge_spec_under_id,
}
FORGED: Mapping[str, Attack] = {
    "forge a value": forge_value,
    "forge a date": forge_date,
    "forge a spec": forge_spec,
    "forge a cut": forge_cut,
    "forge a deletion": forge_deletion,
}


def _replaced(root: Path, old: bytes, new: bytes) -> str:
    """The first segment with one piece of text replaced."""
    name = first(root)
    path = path_of(root, name)
    before = path.read_bytes()
    after = before.replace(old, new, 1)
    if after == before:
        msg = f"{path}: does not hold {old!r}"
        raise ValueError(msg)
    path.write_bytes(after)
    return file_of(name)


def _rearranged(root: Path, change: Callable[[list[bytes]], list[bytes]]) -> str:
    """The first segment with other lines."""
    name = first(root)
    path_of(root, name).write_bytes(b"".join(change(lines_of(root, name))))
    return file_of(name)


def _overwritten(root: Path, content: bytes, other: bytes) -> str:
    """The artifact with this content, holding another; its file."""
    path = store.locate(root, digest.sha256(content))
    path.chmod(0o644)
    path.write_bytes(other)
    return path.relative_to(root).as_posix()


def _forged(
    root: Path, change: Callable[[str, dict[str, Any]], dict[str, Any]], *, century: bytes = b"20"
) -> str:
    """The first segment with other data or dates, chained and sealed anew."""
    name = first(root)
    tip, tree, forged = Tip(), Tree(), b""
    for each in lines_of(root, name):
        line = _parsed(each)
        data = change(line.kind, line.data)
        if line.kind == "seal":
            data = data | {"merkle_root": f"sha256:{tree.root()}"}
        raw = render(seq=tip.seq, time=utc_now(), kind=line.kind, data=_data(data), prev=tip.hash)
        raw = _rehashed(raw.replace(b'"time":"20', b'"time":"' + century, 1))
        tip, tree, forged = tip.after(raw, kind=line.kind), tree.add(raw), forged + raw + b"\n"
    path_of(root, name).write_bytes(forged)
    return _covered(root, name)


def _rehashed(raw: bytes) -> bytes:
    head = raw[: raw.rindex(b',"hash":')]
    return b'%s,"hash":"%s"}' % (head, digest.sha256(head).removeprefix("sha256:").encode())


def _covered(root: Path, name: str) -> str:
    """The traces removed: statements that were kept, and a database of what is there now."""
    shutil.rmtree(root / "heads")
    (root / "ledger.duckdb").unlink()
    rebuild(root)
    return file_of(name)


def _parsed(line: bytes) -> Line:
    return parse(line.removesuffix(b"\n"), record=0)


def _data(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
