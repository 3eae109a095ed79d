"""What verification finds."""

from attrs import frozen


@frozen(kw_only=True)
class Finding:
    """Something that is not as it was recorded.

    `file` is relative to the ledger; `record` is a sequence number in the segment that is meant.
    """

    file: str
    record: int | None = None
    problem: str
    expected: str
    found: str
