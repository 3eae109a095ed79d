"""Every table of the ledger as a Parquet file."""

import pytest

from repro.errors import LedgerError
from repro.ledger import query, schema
from repro.ledger.connection import connect
from repro.ledger.exchange import export_tables
from tests.ledger.ledgers import execute


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A ledger with one execution."""
    path = tmp_path_factory.mktemp("ledger")
    execute(path)
    return path


def rows(path):
    """The rows of a Parquet file, read by anybody."""
    connection = connect(None, read_only=False)
    try:
        return connection.execute(f"FROM '{path}'").fetchall()
    finally:
        connection.close()


def names(folder):
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


def test_every_table_and_view_is_a_file(root, tmp_path):
    """With as many rows as were said."""
    counts, warnings = export_tables(root, tmp_path / "out")

    assert {f"{name}.parquet" for name in counts} == names(tmp_path / "out")
    assert {*schema.TABLES.values(), "executions", "results"} <= set(counts)
    assert (counts["starts"], counts["progress"], warnings) == (1, 6, ())


def test_the_files_hold_what_the_tables_hold(root, tmp_path):
    """Value for value."""
    export_tables(root, tmp_path / "out")

    expected = query(root, 'SELECT step, name, "value" FROM progress ORDER BY ALL').rows
    found = {(row[4], row[5], row[6]) for row in rows(tmp_path / "out" / "progress.parquet")}
    assert found == set(expected)


def test_a_folder_that_is_there_is_not_touched(root, tmp_path):
    """An export never mixes with another."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(LedgerError, match="is there already; name a new folder"):
        export_tables(root, tmp_path)

    assert names(tmp_path) == {"notes.txt"}


def test_a_failed_export_leaves_nothing(root, tmp_path):
    """A folder that cannot be written, because a file is in its way."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(LedgerError, match="cannot be written"):
        export_tables(root, tmp_path / "file" / "out")

    assert names(tmp_path) == {"file"}


def test_a_quote_in_a_folder_is_no_sql(root, tmp_path):
    """The folder's name is text."""
    counts, _ = export_tables(root, tmp_path / "it's here")

    assert len(names(tmp_path / "it's here")) == len(counts)
