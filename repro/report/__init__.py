"""What the ledger shows: claims, the gate, verdicts, and the pages that people read."""

from repro.report.study import StudyReport, build

__all__ = ["StudyReport", "build"]
