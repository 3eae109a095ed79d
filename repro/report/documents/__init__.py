"""The documents of a study: pages of Markdown, drawn from the ledger and its claims alone."""

from repro.report.documents.write import facts, write

__all__ = ["facts", "write"]
