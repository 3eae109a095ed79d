"""The only place that opens DuckDB.

Two files. `.index.duckdb` is written by the fold alone, under its lock. `ledger.duckdb` is a copy
of it, published by rename: a reader never waits for a fold, a notebook that keeps the copy open
never blocks one, and what a stranger writes into it does not last.

Both are opened through a `duckdb:` path, because DuckDB 2.0.0 reads a bare path's headers before it
holds the lock, and can then lose commits. Neither is opened as an ordinary file while this process
has it open in DuckDB, because closing such a descriptor drops DuckDB's lock.

DuckDB opens no file that it cannot lock. Where a shared folder has no locks, the index lies on the
machine that folds, and a reader opens a copy: the segments are the truth, and leases keep two folds
apart.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from repro import digest
from repro.errors import LedgerError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MAX_THREADS = 4
_STORAGE_VERSION = (1, 5)


def index_path(root: Path) -> Path:
    """The database that the fold writes.

    Raises:
        LedgerError: the folder has no locks, and the place for it on this machine is another's.
    """
    return (root if _lockable(root) else _own_folder(root)) / ".index.duckdb"


def published_path(root: Path) -> Path:
    """The database that everybody reads."""
    return root / "ledger.duckdb"


def connect(
    path: Path | None, *, read_only: bool, writable: Path | None = None
) -> "DuckDBPyConnection":
    """A connection with the database at `path` (or one in memory) as its default, named `ledger`.

    It loads no extensions and sees no Python variables. If read-only, it reaches no file besides
    the database, and `writable` where given (a file, or a folder with all that is in it), and its
    settings are locked.

    Raises:
        duckdb.Error: the file is locked, damaged or of a newer DuckDB.
    """
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "threads": str(min(_MAX_THREADS, os.cpu_count() or 1)),
        },
    )
    try:
        with _openable(path, read_only=read_only) as file:
            connection.execute(_attachment(file, duckdb.__version__, read_only=read_only))
        connection.execute("USE ledger; SET TimeZone = 'UTC'")
        if read_only:
            allowed = [str(writable)] if writable else []
            kind = "directories" if writable and writable.is_dir() else "paths"
            connection.execute(f"SET allowed_{kind} = $1", [allowed])
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _attachment(path: Path | None, version: str, *, read_only: bool) -> str:
    if path is None:
        return "ATTACH ':memory:' AS ledger"
    name = f"duckdb:{path.absolute()}".replace("'", "''")
    if read_only:
        return f"ATTACH '{name}' AS ledger (READ_ONLY)"
    # Files in the format of DuckDB 1.5 open in 1.5 and in 2.0; older versions know only their own.
    recent = tuple(int(part) for part in version.split(".")[:2]) >= _STORAGE_VERSION
    option = " (STORAGE_VERSION 'v1.5.0')" if recent else ""
    return f"ATTACH '{name}' AS ledger{option}"


@contextmanager
def _openable(path: Path | None, *, read_only: bool) -> Iterator[Path | None]:
    """A file for DuckDB to open, which may be gone once it has: `path`, or a copy to read."""
    if path is None or not read_only or not path.is_file() or _lockable(path.parent):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="repro-") as folder:
        yield Path(shutil.copyfile(path, Path(folder) / path.name))


def _lockable(root: Path) -> bool:
    """Whether the files of a ledger can be locked; a segment, which nobody locks, tells."""
    try:
        with os.scandir(root / "segments") as found:
            for each in filter(os.DirEntry.is_file, found):
                with suppress(OSError):  # another user's, perhaps; the next one may tell
                    descriptor = os.open(each.path, os.O_RDONLY)
                    try:
                        return _takes_lock(descriptor)
                    finally:
                        os.close(descriptor)
    except FileNotFoundError:
        return True
    return True


def _takes_lock(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError | PermissionError)  # a lock is in the way
    return True


def _own_folder(root: Path) -> Path:
    """Where this user keeps, on this machine, what belongs to a ledger elsewhere."""
    mine = Path(tempfile.gettempdir()) / f"repro-{os.getuid()}"
    folder = mine / digest.xxh3_128(os.fsencode(root.resolve()))
    mine.mkdir(mode=0o700, exist_ok=True)
    if mine.is_symlink() or mine.stat().st_uid != os.getuid():
        raise LedgerError(f"{mine}: belongs to another user; set TMPDIR to a folder of your own")
    folder.mkdir(exist_ok=True)
    return folder
