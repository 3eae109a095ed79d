"""A bundle: runs in one folder that a reviewer can check without this program."""

from repro.report.bundle.crate import About
from repro.report.bundle.write import Bundled, bundle

__all__ = ["About", "Bundled", "bundle"]
