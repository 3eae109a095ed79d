"""What the ledger shows: claims, the gate, verdicts, and the pages that people read."""
