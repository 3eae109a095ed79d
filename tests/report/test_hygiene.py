"""The page about the store."""

from pathlib import Path

import pytest

from repro.errors import LedgerError
from repro.ledger.gc import collect
from repro.report import hygiene
from repro.report.rounding import in_bytes
from tests.ledger.trainings import execute, grown_old, judge

DRY = """\
# What the store holds, what stays and why, what may go

Nothing was removed. 5 files of 67 B may go: `repro gc --delete`. The store
holds 122 B and would hold 55 B.

## What stays, and why

| why | files | size |
|---|---:|---:|
| a verdict weighed it | 3 | 46 B |
| it tells what an execution ran, or took in | 1 | 9 B |

## What it is

| study | role | stays | size | may go | size |
|---|---|---:|---:|---:|---:|
| toy | features | 1 | 16 B | 0 | 0 B |
| toy | patch | 1 | 9 B | 0 | 0 B |
| toy | samples | 1 | 15 B | 0 | 0 B |
| toy | state | 0 | 0 B | 3 | 38 B |
| toy | weights | 1 | 15 B | 2 | 29 B |

## What may go, and why

| why | files | size |
|---|---:|---:|
| training state that nothing goes on from | 3 | 38 B |
| weights that nothing was made from | 2 | 29 B |

| study | what | size | digest |
|---|---|---:|---|
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A ledger with one weighed run, a day old."""
    folder = tmp_path / "ledger"
    judge(folder, *execute(folder))
    grown_old(folder)
    return folder


def page_of(root: Path, *, delete: bool = False) -> str:
    """The page that a collection writes."""
    page = root.parent / "pages" / "store.md"
    hygiene.write(root, collect(root, delete=delete), page)
    return page.read_text(encoding="utf-8")


def test_what_would_go(root):
    """Before anything is removed the page says what stays, why, and what may go."""
    page = page_of(root)

    assert page.startswith(DRY)
    assert page.endswith("## What earlier collections removed\n\nNothing.\n")


def test_a_page_that_cannot_be_written(root, tmp_path):
    """One line says where and why."""
    (tmp_path / "pages").write_text("no folder", encoding="utf-8")

    with pytest.raises(LedgerError, match=r"store\.md: the page is not written: "):
        page_of(root)


def test_what_went(root):
    """Afterwards it says which execution removed how much, and what there was before."""
    page = page_of(root, delete=True)

    assert "removed 5 files of 67 B" in page
    assert "The store held 122 B and holds 55 B." in page
    assert "| toy | one-50.weights | 14 B | `sha256:" in page


def test_what_went_earlier(root):
    """What is gone is remembered on every later page."""
    earlier = collect(root, delete=True)

    page = page_of(root)

    assert "Nothing may go. The store holds 4 files of 55 B." in page
    assert page.endswith(
        f"| `{earlier.execution_id}` | training state that nothing goes on from | 3 | 38 B |\n"
        f"| `{earlier.execution_id}` | weights that nothing was made from | 2 | 29 B |\n"
    )


def test_a_long_list_is_cut_to_the_largest(root, monkeypatch):
    """The largest files are listed, and the number of the others."""
    monkeypatch.setattr(hygiene, "MAX_LISTED", 1)

    page = page_of(root)

    assert "one-100.weights" in page
    assert "one-50.weights" not in page
    assert "And 4 smaller ones: `repro gc --json` lists all." in page


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_600, "1 MB"),
        (9_437_184, "9.44 MB"),
        (2_000_000_000_000, "2 TB"),
    ],
)
def test_sizes(size_bytes, text):
    """A size has three digits and the unit that fits."""
    assert in_bytes(size_bytes) == text
