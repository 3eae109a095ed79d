"""Small bundles to test with."""

import shutil
from pathlib import Path

from repro.report.bundle import About, Bundled, bundle
from repro.report.bundle.verify_bundle import verify

ABOUT = About(published="2026-01-31", author="A. Author", publisher="https://example.org")


def make(root: Path, *ids: str, leave_out=()) -> Bundled:
    """These runs or executions as a bundle beside their ledger."""
    return bundle(root, ids, root.with_name("bundle"), about=ABOUT, leave_out=leave_out)


def writable(folder: Path, *, copy: Path) -> Path:
    """A copy of a bundle, as an attacker would make it."""
    shutil.copytree(folder, copy)
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


def findings(folder: Path, **published: str) -> list[str]:
    """What the verifier says of a bundle."""
    return [str(each) for each in verify(folder, **published).findings]
