"""The line that torch may not cross, and the one place that opens DuckDB."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import repro

LIGHT = [
    "repro",
    "repro.cli",
    "repro.digest",
    "repro.engine",
    "repro.engine.plan",
    "repro.engine.resources",
    "repro.engine.run",
    "repro.errors",
    "repro.ledger",
    "repro.metrics.frechet",
    "repro.report",
    "repro.spec",
    "repro.terminal",
]
HEAVY = {"torch", "duckdb", "diffusers"}


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_load_nothing_heavy(module: str) -> None:
    """A module outside the computing part of the engine never loads torch or duckdb on import."""
    code = f"import sys, {module}; print(*({HEAVY!r} & set(sys.modules)))"

    output = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert output.strip() == ""


PACKAGE = Path(repro.__file__).parent
OPENS_NOTHING = {"DuckDBPyConnection", "Error", "StatementType"}


def used_of_duckdb(path: Path) -> Iterator[str]:
    """What a module uses of duckdb, by whatever name it imports it."""
    tree = ast.parse(path.read_bytes())
    known: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "duckdb":
            yield from (each.name for each in node.names)
        if isinstance(node, ast.Import):
            known |= {each.asname or each.name for each in node.names if each.name == "duckdb"}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name)) if name in known:
                yield node.attr


def test_duckdb_is_opened_in_one_place() -> None:
    """One module calls `duckdb.connect`; the others use nothing of DuckDB that opens a file."""
    opening = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if set(used_of_duckdb(path)) - OPENS_NOTHING
    }

    assert opening == {"ledger/connection.py"}
    text = (PACKAGE / "ledger" / "connection.py").read_text("utf-8")
    assert text.count("duckdb.connect(") == 1
    assert 'f"duckdb:{path' in text
