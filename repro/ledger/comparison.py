"""The database held against the segments: their rows, made once more beside it, must be there."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.errors import LedgerError
from repro.ledger import fold, schema
from repro.ledger.chain import Line, Tip
from repro.ledger.connection import connect, published_path
from repro.ledger.findings import Finding

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FILE = "ledger.duckdb"
_EXCERPT_CHARS = 300
_MAX_ROWS = 1000
_PART_ROWS = 1_000_000
_ALL = "true"
_MANY_ROWS = {schema.TABLES[kind] for kind in ("progress", "imported")}  # of one record

# A row of the database counts unless its segment is broken before it: the break is found elsewhere.
_SIDES = """
WITH
theirs AS (
    SELECT row, row.execution_id AS execution_id, row.seq AS seq
    FROM ledger.{table} AS row JOIN held USING (execution_id)
    WHERE (held.whole OR row.seq < held.num_records) AND {part}
),
ours AS (
    SELECT row, row.execution_id AS execution_id, row.seq AS seq
    FROM fresh.{table} AS row JOIN held USING (execution_id)
    WHERE row.seq < held.num_records AND {part}
)
"""

# Row beside row: some ten times cheaper than the difference, and as exact.
_EQUAL = f"""
{_SIDES}
SELECT count(*) FROM (
    (SELECT row AS their FROM theirs ORDER BY {{order}})
    POSITIONAL JOIN (SELECT row AS our FROM ours ORDER BY {{order}})
)
WHERE their IS DISTINCT FROM our
"""

# Checksums may collide, so they only say where to look first.
_SUSPECTS = f"""
{_SIDES},
sums AS (
    SELECT execution_id, count(*), sum(hash(row)), 'found' AS side FROM theirs GROUP BY ALL
    UNION ALL
    SELECT execution_id, count(*), sum(hash(row)), 'expected' FROM ours GROUP BY ALL
)
SELECT DISTINCT execution_id FROM (
    SELECT * EXCLUDE (side) FROM sums GROUP BY ALL HAVING count(*) = 1
)
"""

_DIFFERENCE = f"""
{_SIDES},
found AS (
    SELECT execution_id, seq, row::VARCHAR AS text FROM theirs
    WHERE $1 IS NULL OR execution_id IN (SELECT unnest($1))
),
expected AS (
    SELECT execution_id, seq, row::VARCHAR AS text FROM ours
    WHERE $1 IS NULL OR execution_id IN (SELECT unnest($1))
)
SELECT execution_id, seq, text, 'found' FROM (FROM found EXCEPT ALL FROM expected)
UNION ALL
SELECT execution_id, seq, text, 'expected' FROM (FROM expected EXCEPT ALL FROM found)
ORDER BY ALL
LIMIT {{limit}}
"""

_VIEWS = """
SELECT view_name, sql FROM duckdb_views() WHERE database_name = $1 AND NOT internal
"""


@contextmanager
def beside(root: Path) -> Iterator["Comparison"]:
    """The database as it is found; one is folded only where there is none."""
    connection, problem = _published(root)
    try:
        yield Comparison(connection, problem)
    finally:
        connection.close()


class Comparison:
    """The published database as `ledger`, and as `fresh` the tables that the segments give."""

    def __init__(self, connection: "DuckDBPyConnection", problem: str) -> None:
        self._connection = connection
        self._problem = problem
        self._folded = fold.tips(connection)
        self._inserter = fold.Inserter(connection)
        self._reached: dict[str, str] = {}  # the hash of each segment's last line that was folded
        self._held: dict[str, tuple[int, bool]] = {}  # how far each segment counts, and if whole
        self._elsewhere: set[str] = set()
        connection.execute("ATTACH ':memory:' AS fresh; USE fresh")
        connection.execute(schema.statements())
        connection.execute(
            "CREATE TABLE held (execution_id VARCHAR, num_records BIGINT, whole BOOLEAN)"
        )

    def executions_of(self, beginning: str) -> set[str]:
        """The executions that the database knows by such a beginning of their or their run's id."""
        rows = self._rows(
            "SELECT execution_id FROM ledger.starts"
            " WHERE starts_with(execution_id, $1) OR starts_with(run_id, $1)",
            beginning,
        )
        return {str(row[0]) for row in rows}

    def lines_of(self, execution_id: str) -> Callable[[Line], None]:
        """What takes in one line of a segment after the other, as far as it was folded."""
        last = self._folded.get(execution_id, Tip()).seq - 1
        insert, opening = self._inserter.add, fold.Inserter.opening(execution_id)

        def add(line: Line) -> None:
            if line.seq <= last:
                insert(line, opening)
                if line.seq == last:
                    self._reached[execution_id] = line.hash

        return add

    def end(self, execution_id: str, num_records: int, *, whole: bool) -> list[Finding]:
        """Hold a segment of so many lines, up to its break, against how far it was folded."""
        tip = self._folded.get(execution_id, Tip())
        reached = self._reached.get(execution_id)
        findings = _cut_or_replaced(execution_id, num_records, reached, tip) if whole else []
        counted = 0 if findings else min(tip.seq, num_records)
        self._held[execution_id] = (counted, whole and not findings)
        return findings

    def compared_elsewhere(self, execution_ids: Iterable[str]) -> None:
        """Another process has these segments, and holds their rows against them."""
        self._elsewhere.update(execution_ids)

    def findings(self, chosen: Collection[str] | None) -> list[Finding]:
        """What differs, about the chosen executions or all: segments gone, rows, definitions.

        A chosen segment that was not added is gone.
        """
        unreadable = [_of_database("cannot be read; rebuild it", "a database", self._problem)]
        return [
            *(unreadable if self._problem else []),
            *self._gone(chosen),
            *self.differing_rows(),
            *self._differing_views(),
        ]

    def differing_rows(self) -> list[Finding]:
        """Of the segments that were added, the first record whose rows differ in each table."""
        self._inserter.flush()
        self._connection.execute(
            "INSERT INTO held SELECT unnest($1), unnest($2), unnest($3)",
            [
                list(self._held),
                [num_records for num_records, _ in self._held.values()],
                [whole for _, whole in self._held.values()],
            ],
        )
        return [each for table in schema.TABLES.values() for each in self._differing_rows(table)]

    def _gone(self, chosen: Collection[str] | None) -> list[Finding]:
        tables = ("folds", *schema.TABLES.values())
        rows = self._rows(
            " UNION ".join(f"SELECT execution_id FROM ledger.{each}" for each in tables)
        )
        known = {str(row[0]) for row in rows} if chosen is None else set(chosen)
        return [
            Finding(
                file=f"segments/{each}.jsonl",
                problem="the segment is missing",
                expected=f"{self._folded[each].seq} records" if each in self._folded else "a file",
                found="no file",
            )
            for each in sorted(known - self._held.keys() - self._elsewhere)
        ]

    def _differing_rows(self, table: str) -> list[Finding]:
        """For each execution, the first record whose rows in a table differ."""
        first: dict[str, tuple[int, dict[str, str]]] = {}
        for execution_id, seq, text, side in self._difference(table):
            record, sides = first.setdefault(execution_id, (seq, {}))
            if record == seq:
                sides.setdefault(side, text[:_EXCERPT_CHARS])
        return [
            Finding(
                file=_FILE,
                record=record,
                problem=f"table {table} differs from segment {execution_id}; rebuild the database",
                expected=sides.get("expected", "no row"),
                found=sides.get("found", "no row"),
            )
            for execution_id, (record, sides) in first.items()
        ]

    def _difference(self, table: str) -> list[tuple[Any, ...]]:
        """Rows that only one side has: execution, record, text and side; at most a thousand."""
        order = "ALL" if table in _MANY_ROWS else "execution_id, seq"
        equal = (_EQUAL.format(table=table, order=order, part=part) for part in self._parts(table))
        if all(self._rows(each) == [(0,)] for each in equal):
            return []
        suspects = [each for (each,) in self._rows(_SUSPECTS.format(table=table, part=_ALL))]
        difference = _DIFFERENCE.format(table=table, limit=_MAX_ROWS, part=_ALL)
        return self._rows(difference, suspects) or self._rows(difference, None)

    def _parts(self, table: str) -> list[str]:
        """Conditions that split a large table by records: to sort it whole takes gigabytes."""
        ((num_rows,),) = self._rows(f"SELECT count(*) FROM ledger.{table}")
        count = 1 + num_rows // _PART_ROWS
        return [f"hash(row.execution_id, row.seq) % {count} = {each}" for each in range(count)]

    def _differing_views(self) -> list[Finding]:
        expected, found = (dict(self._rows(_VIEWS, name)) for name in ("fresh", "ledger"))
        return [
            _of_database(
                f"view {name} was changed; rebuild the database",
                expected.get(name, "no view")[:_EXCERPT_CHARS],
                found.get(name, "no view")[:_EXCERPT_CHARS],
            )
            for name in sorted(expected.keys() | found.keys())
            if expected.get(name) != found.get(name)
        ]

    def _rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, list(parameters)).fetchall()


def _cut_or_replaced(
    execution_id: str, num_records: int, reached: str | None, tip: Tip
) -> list[Finding]:
    """What is wrong with a segment whose record where the fold stopped has the hash `reached`."""
    file = f"segments/{execution_id}.jsonl"
    if tip.seq > num_records:
        return [
            Finding(
                file=file,
                record=num_records,
                problem="the segment was cut since it was folded",
                expected=f"{tip.seq} records",
                found=f"{num_records} records",
            )
        ]
    if tip.seq > 0 and reached != tip.hash:
        return [
            Finding(
                file=file,
                record=tip.seq - 1,
                problem="the segment was written anew since it was folded",
                expected=f"hash {tip.hash}",
                found=f"hash {reached}",
            )
        ]
    return []


def _of_database(problem: str, expected: str, found: str) -> Finding:
    return Finding(file=_FILE, problem=problem, expected=expected, found=found)


def _published(root: Path) -> tuple["DuckDBPyConnection", str]:
    """The published database, or an empty one and why it cannot be read.

    Where there is none, and none can be written, there is nothing to hold the segments against.
    """
    import duckdb

    path = published_path(root)
    if not path.exists() and not os.access(root, os.W_OK):
        return _empty(), ""
    connection = None
    try:
        if not path.exists():
            fold.fold(root)
        connection = connect(path, read_only=True)
        if fold.version_of(connection, path) == schema.VERSION:
            return connection, ""
        problem = "it has another schema"
    except (duckdb.Error, LedgerError) as error:
        if not path.exists() and not isinstance(error, fold.NewerSchemaError):
            return _empty(), ""
        problem = str(error)
    if connection is not None:
        connection.close()
    return _empty(), problem


def _empty() -> "DuckDBPyConnection":
    connection = connect(None, read_only=False)
    connection.execute(schema.statements())
    return connection
