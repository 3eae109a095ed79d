"""From segments to tables: incremental, repeatable, by one process at a time.

Rows and the place in the segment up to which they were read are one transaction, so whatever is
lost (a killed fold, a commit that DuckDB lost) is read again by the next fold, once. A segment that
is broken is read up to the break and reported; it does not keep the others out.
"""

import os
import shutil
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from attrs import frozen

from repro.errors import LedgerError
from repro.ledger import durable, history, schema
from repro.ledger.chain import ChainError, Line, Tip, follow
from repro.ledger.connection import connect, index_path, published_path
from repro.ledger.lease import Lease, LeaseHeldError, lease
from repro.ledger.records import Progress, as_curves

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LEASE = "fold"
WAIT_S = 60.0
_BATCH_LINES = 20_000
_BATCH_BYTES = 16 << 20


class NewerSchemaError(LedgerError):
    """The database is of a version that this one cannot read."""


@frozen(kw_only=True)
class Folded:
    """What a fold did: records read, and one line for each segment that it could not follow."""

    num_records: int
    problems: tuple[str, ...]


def fold(root: Path, *, wait_s: float = WAIT_S) -> Folded | None:
    """Bring the database up to the segments; none if others did so for `wait_s` seconds.

    Raises:
        LedgerError: there is no ledger here, it cannot be written, or is of a newer version.
    """
    return _under_lock(root, wait_s=wait_s, anew=False)


def rebuild(root: Path) -> Folded:
    """Make the database anew from the segments alone.

    Raises:
        LedgerError: as `fold`, and if others fold for `WAIT_S` seconds.
    """
    folded = _under_lock(root, wait_s=WAIT_S, anew=True)
    if folded is None:
        raise LedgerError(f"{root}: another process is folding; try again")
    return folded


def fold_into_memory(
    root: Path, *, writable: Path | None = None
) -> tuple["DuckDBPyConnection", Folded]:
    """The tables for one question to a ledger whose folder cannot be written, or is full.

    Raises:
        LedgerError: there is no ledger here.
    """
    history.require(root)
    connection = connect(None, read_only=True, writable=writable)
    connection.execute(schema.statements())
    return connection, _read_all(connection, root)


def tips(connection: "DuckDBPyConnection") -> dict[str, Tip]:
    """How far each segment has been read."""
    rows = connection.execute(
        "SELECT execution_id, num_records, size_bytes, hash, sealed FROM segments"
    ).fetchall()
    return {
        name: Tip(seq=seq, size_bytes=size_bytes, hash=hash_, sealed=sealed)
        for name, seq, size_bytes, hash_, sealed in rows
    }


class Inserter:
    """Adds lines to the tables of their kinds, many at a time."""

    def __init__(self, connection: "DuckDBPyConnection") -> None:
        self._connection = connection
        self._batches: dict[str, list[bytes]] = {kind: [] for kind in schema.TABLES}
        self._num_bytes = 0

    def add(self, line: Line, opening: bytes) -> None:
        """Take a line in; kinds that only a newer version knows have no table.

        `opening` is that of the lines of its segment.
        """
        batch = self._batches.get(line.kind)
        if batch is None:
            return
        raw = line.raw
        if line.kind == Progress.kind and "step" in line.data:
            now = {"seq": line.seq, "time": line.time, "data": as_curves(line.data)}
            raw = orjson.dumps(now)
        batch.append(opening + raw[1:])
        self._num_bytes += len(raw)
        if self._num_bytes >= _BATCH_BYTES:
            self.flush()
        elif len(batch) >= _BATCH_LINES:
            self._insert(line.kind)

    def flush(self) -> None:
        """Put everything that was taken in into the tables."""
        for kind, batch in self._batches.items():
            if batch:
                self._insert(kind)
        self._num_bytes = 0

    @staticmethod
    def opening(execution_id: str) -> bytes:
        """What begins every line of a segment in place of its brace."""
        return b'{"execution_id":"%b",' % execution_id.encode()

    def _insert(self, kind: str) -> None:
        statement, shape = schema.insertion(kind)
        lines = b"\n".join(self._batches[kind]).decode()
        self._connection.execute(statement, [lines, shape])
        self._batches[kind] = []


def _under_lock(root: Path, *, wait_s: float, anew: bool) -> Folded | None:
    history.require(root)
    try:
        with lease(root, LEASE, wait_s=wait_s) as held:
            return _fold_and_publish(root, held, anew=anew)
    except LeaseHeldError:
        return None
    except OSError as error:
        raise durable.refused(root, error, what="cannot fold") from error


def _fold_and_publish(root: Path, held: Lease, *, anew: bool) -> Folded:
    import duckdb

    index = index_path(root)
    if anew:
        _discard(index)
    try:
        folded = _fold_into(index, root)
    except duckdb.Error:
        # The index is only an index: a damaged one is made again. If that fails too, say so.
        _discard(index)
        try:
            folded = _fold_into(index, root)
        except duckdb.Error as error:
            raise _unwritten(index, f"cannot be written: {error}") from error
    if not up_to_date(root):
        _publish(root, held)
    return folded


def up_to_date(root: Path) -> bool:
    """Whether the published database is the copy of the index as it is now."""
    try:
        index, published = index_path(root).stat(), published_path(root).stat()
    except OSError:
        return False
    return (index.st_mtime_ns, index.st_size) == (published.st_mtime_ns, published.st_size)


def version_of(connection: "DuckDBPyConnection", path: Path) -> int | None:
    """The schema version of a database that this version can read or replace; none if it is empty.

    Raises:
        NewerSchemaError: it is newer than this version of the package.
    """
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables()"
        " WHERE database_name = 'ledger' AND table_name = 'schema_version'"
    ).fetchone()
    if found is None:
        return None
    row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    version = int(row[0]) if row and row[0] is not None else 0
    if version > schema.VERSION:
        raise NewerSchemaError(
            f"{path}: schema version {version}, this package knows {schema.VERSION};"
            " upgrade it, or remove the database files: they are made again from the segments"
        )
    return version


def _fold_into(index: Path, root: Path) -> Folded:
    connection = _open_index(index)
    try:
        connection.execute("BEGIN TRANSACTION")
        folded = _read_all(connection, root)
        connection.execute("COMMIT")
    finally:
        connection.close()
    return folded


def _read_all(connection: "DuckDBPyConnection", root: Path) -> Folded:
    reader = _Reader(connection)
    for path in history.segment_paths(root):
        reader.read(path)
    reader.finish()
    return Folded(num_records=reader.num_records, problems=tuple(reader.problems))


def _open_index(index: Path) -> "DuckDBPyConnection":
    connection = connect(index, read_only=False)
    try:
        version = version_of(connection, index)
        if version == schema.VERSION:
            return connection
        if version is not None:
            connection.close()
            _discard(index)
            connection = connect(index, read_only=False)
        connection.execute(f"BEGIN TRANSACTION; {schema.statements()} COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


class _Reader:
    """One pass over the segments."""

    def __init__(self, connection: "DuckDBPyConnection") -> None:
        self.num_records = 0
        self.problems: list[str] = []
        self._connection = connection
        self._known = tips(connection)
        self._seen: set[str] = set()
        self._moved: dict[str, Tip] = {}
        self._inserter = Inserter(connection)

    def read(self, path: Path) -> None:
        """Read what was added to one segment since the last fold, up to the first break."""
        name = path.stem
        self._seen.add(name)
        tip = self._known.get(name, Tip())
        last, size_bytes, opening = None, tip.size_bytes, Inserter.opening(name)
        try:
            for last in new_lines(path, tip):
                size_bytes += len(last.raw) + 1
                self._inserter.add(last, opening)
        except ChainError as error:
            self.problems.append(f"{path}: {error}; `verify` says more")
        except OSError as error:  # another user's, perhaps; the others count
            self.problems.append(f"{path}: cannot be read: {error.strerror}")
        if last is not None:
            self._moved[name] = last.tip(size_bytes)
            self.num_records += last.seq + 1 - tip.seq

    def finish(self) -> None:
        """Add what is left, and how far each segment has been read."""
        self._inserter.flush()
        gone = sorted(set(self._known) - self._seen)
        self.problems += [f"{name}: its segment is missing; `verify` says more" for name in gone]
        moved = self._moved
        self._connection.execute(
            "INSERT INTO folds SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5)",
            [
                list(moved),
                [tip.seq for tip in moved.values()],
                [tip.size_bytes for tip in moved.values()],
                [tip.hash for tip in moved.values()],
                [tip.sealed for tip in moved.values()],
            ],
        )


def new_lines(path: Path, tip: Tip) -> Iterator[Line]:
    """The whole lines of a segment after `tip`.

    Raises:
        ChainError: the segment became shorter, or a line does not follow.
    """
    size_bytes = path.stat().st_size
    if size_bytes < tip.size_bytes:
        expected, found = f"{tip.size_bytes} bytes or more", f"{size_bytes} bytes"
        raise ChainError(tip.seq, "the segment was cut", expected=expected, found=found)
    if size_bytes == tip.size_bytes:
        return
    with path.open("rb") as file:
        file.seek(tip.size_bytes)
        whole = (raw[:-1] for raw in takewhile(_is_whole, file))
        for line in follow(whole, tip):
            if line.seq == 0:
                history.hold_to_place(line, path.stem)
            yield line


def _is_whole(raw: bytes) -> bool:
    return raw.endswith(b"\n")


def _publish(root: Path, held: Lease) -> None:
    """Put a copy of the index in the place of the published one, unless overtaken meanwhile."""
    index, published = index_path(root), published_path(root)
    if _wal(index).exists():
        raise _unwritten(index, "its last changes could not be put into the file")
    for leftover in root.glob(f".{published.name}.*part"):
        leftover.unlink(missing_ok=True)
    part = published.with_name(f".{published.name}.{held.path.name}.part")
    try:
        shutil.copyfile(index, part)
        status = index.stat()
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
        part.chmod(0o644)  # DuckDB opens no read-only file unless it is told to
        durable.sync(part)
        if not held.held():
            raise LedgerError(f"{root}: another process took the fold over; try again")
        part.rename(published)
    finally:
        part.unlink(missing_ok=True)
    _wal(published).unlink(missing_ok=True)  # a stranger's, which would not fit the new file
    durable.sync(root)


def _unwritten(index: Path, why: str) -> LedgerError:
    return LedgerError(f"{index}: {why}; free space or fix access, then run again")


def _discard(index: Path) -> None:
    index.unlink(missing_ok=True)
    _wal(index).unlink(missing_ok=True)


def _wal(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")
